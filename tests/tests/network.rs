//! Relays behind a SOCKS5 proxy, onion services among them, and one connection for each channel.

#![allow(missing_docs, reason = "tests")]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fast_socks5::ReplyError;
use fast_socks5::server::Socks5ServerProtocol;
use serde_json::json;
use tacit_tests::core::{Connection, ContactState, NetworkSettings};
use tacit_tests::{Cli, Device, PATIENCE_MS, Relay};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

const ONION: &str = "tacitrelaytacitrelaytacitrelaytacitrelaytacitrelaytacitr.onion";

/// A connection that the proxy carries.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Carried {
    name: String,
    target: String,
}

/// A SOCKS5 proxy that knows where one onion service is, and looks nothing up.
struct Proxy {
    address: SocketAddr,
    live: Arc<Mutex<BTreeSet<Carried>>>,
    _runtime: Runtime,
}

impl Proxy {
    fn start(relay: &str) -> Self {
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let live = Arc::new(Mutex::new(BTreeSet::new()));
        let (relay, seen) = (relay.to_owned(), Arc::clone(&live));
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(carry(stream, relay.clone(), Arc::clone(&seen)));
            }
        });
        Self { address, live, _runtime: runtime }
    }

    fn url(&self) -> String {
        format!("socks5://{}", self.address)
    }

    fn live(&self) -> BTreeSet<Carried> {
        self.live.lock().unwrap().clone()
    }
}

async fn carry(stream: TcpStream, relay: String, live: Arc<Mutex<BTreeSet<Carried>>>) {
    let named = Socks5ServerProtocol::accept_password_auth(stream, |name, _| Some(name)).await;
    let Ok((protocol, Some(name))) = named else { return };
    let Ok((protocol, _, target)) = protocol.read_command().await else { return };
    let (host, port) = target.into_string_and_port();
    if (host.as_str(), port) != (ONION, 80) {
        drop(protocol.reply_error(&ReplyError::HostUnreachable).await);
        return;
    }
    let mut onward = TcpStream::connect(&relay).await.unwrap();
    let Ok(mut stream) = protocol.reply_success(onward.local_addr().unwrap()).await else { return };
    let carried = Carried { name, target: host };
    assert!(live.lock().unwrap().insert(carried.clone()), "a name of its own for each connection");
    drop(tokio::io::copy_bidirectional(&mut stream, &mut onward).await);
    live.lock().unwrap().remove(&carried);
}

fn wait(mut until: impl FnMut() -> bool, what: &str) {
    let started = Instant::now();
    while !until() {
        assert!(started.elapsed() < Duration::from_millis(PATIENCE_MS), "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn onion_relay() -> Relay {
    Relay::start_with(&format!("url = \"ws://{ONION}\""))
}

fn reaches(device: &Device, proxy: Option<String>, separate: bool) {
    device.client().set_network(NetworkSettings { proxy, separate }).unwrap();
    device.online();
}

fn pair(therapist: &Device, client: &Device, label: &str) -> (String, String) {
    let (of_client, link) = therapist.invite(label);
    let of_therapist = client.join(&link);
    therapist.wait_state(&of_client, ContactState::Paired);
    client.wait_state(&of_therapist, ContactState::Paired);
    (of_client, of_therapist)
}

#[test]
fn an_onion_relay_is_reached_through_a_proxy_with_a_connection_for_each_channel() {
    let mut relay = onion_relay();
    let proxy = Proxy::start(relay.address());
    let (therapist, one, two) = (Device::new(), Device::new(), Device::new());
    reaches(&therapist, Some(proxy.url()), true);
    reaches(&one, Some(proxy.url()), false);
    reaches(&two, Some(proxy.url()), true);
    therapist.enrol(&relay.enrolment(2));
    let pairs = [pair(&therapist, &one, "one"), pair(&therapist, &two, "two")];
    for (number, (client, (of_client, of_therapist))) in [&one, &two].into_iter().zip(&pairs).enumerate() {
        therapist.client().send(of_client.clone(), format!("to {number}")).unwrap();
        client.client().send(of_therapist.clone(), format!("from {number}")).unwrap();
        therapist.wait_all_delivered(of_client);
        client.wait_all_delivered(of_therapist);
        assert_eq!(client.received(of_therapist), [format!("to {number}")]);
        assert_eq!(therapist.received(of_client), [format!("from {number}")]);
    }
    // The therapist has one for each client, and none for the enrolment any more.
    wait(|| proxy.live().len() == 4, "two of the therapist, one of each client");
    assert!(proxy.live().iter().all(|carried| carried.target == ONION && carried.name.len() == 32));

    // All on one again: what there was ends, and nothing is lost.
    therapist.client().set_network(NetworkSettings { proxy: Some(proxy.url()), separate: false }).unwrap();
    wait(|| proxy.live().len() == 3, "one of each device");
    therapist.client().send(pairs[0].0.clone(), "still here".to_owned()).unwrap();
    therapist.wait_all_delivered(&pairs[0].0);

    // The relay loses its disk and comes back from a backup: every channel hears of it, on whichever connection.
    reaches(&therapist, Some(proxy.url()), true);
    therapist.settle();
    let file = relay.data().join("backup");
    relay.operate("backup", &[file.to_str().unwrap()]);
    one.offline();
    two.offline();
    for (of_client, _) in &pairs {
        therapist.client().send(of_client.clone(), "on the lost disk alone".to_owned()).unwrap();
    }
    therapist.settle();
    relay.lose_disk();
    relay.operate("restore", &[file.to_str().unwrap()]);
    relay.restart();
    one.online();
    two.online();
    for (client, (of_client, of_therapist)) in [&one, &two].into_iter().zip(&pairs) {
        therapist.wait_all_delivered(of_client);
        assert_eq!(client.received(of_therapist).last().unwrap(), "on the lost disk alone");
    }
}

#[test]
fn nothing_goes_past_a_proxy_that_is_not_there_and_no_onion_name_is_looked_up() {
    let relay = onion_relay();
    let device = Device::new();
    let gone = Proxy::start(relay.address()).url();
    device.client().enrol(relay.enrolment(1), "Dr. Example".to_owned()).unwrap();
    let problem = |wanted: &str| {
        let says =
            |connection: Connection| matches!(connection, Connection::Offline { problem } if problem.contains(wanted));
        wait(|| says(device.client().connection()), wanted);
    };
    reaches(&device, Some(gone), false);
    problem("the SOCKS5 proxy cannot be reached");
    // A proxy that does not know the service.
    let other = Proxy::start("127.0.0.1:1");
    let elsewhere = Relay::start_with("url = \"ws://another.onion\"");
    device.client().enrol(elsewhere.enrolment(1), "Dr. Example".to_owned()).unwrap();
    device.client().set_network(NetworkSettings { proxy: Some(other.url()), separate: false }).unwrap();
    problem("the SOCKS5 proxy cannot reach the relay");
    device.client().set_network(NetworkSettings::default()).unwrap();
    problem("name Tor's SOCKS5 proxy");
}

#[test]
fn the_command_says_how_relays_are_reached_and_changes_one_thing_at_a_time() {
    let cli = Cli::new();
    let says = |arguments: &[&str]| cli.ok(arguments).pop().unwrap();
    let proxy = "socks5://127.0.0.1:9050";
    assert_eq!(says(&["network"]), json!({"proxy": null, "separate": false}));
    assert_eq!(says(&["network", "--proxy", proxy]), json!({"proxy": proxy, "separate": false}));
    assert_eq!(says(&["network", "--separate"]), json!({"proxy": proxy, "separate": true}));
    assert_eq!(says(&["network", "--direct"]), json!({"proxy": null, "separate": true}));
    assert_eq!(says(&["network", "--together"]), json!({"proxy": null, "separate": false}));
    let refused = cli.run(&["network", "--proxy", "http://127.0.0.1:9050"]);
    assert!(!refused.status.success());
    assert!(String::from_utf8(refused.stderr).unwrap().contains("not_a_proxy"));
}
