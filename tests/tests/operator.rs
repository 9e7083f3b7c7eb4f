//! What an operator does to a relay while people write to each other: nobody loses a word.

#![allow(missing_docs, reason = "tests")]

use std::sync::atomic::{AtomicBool, Ordering};

use tacit_client_core::ContactState;
use tacit_tests::{Device, Relay};

/// A therapist's and a client's device, paired: how each knows the other.
fn pair(relay: &Relay, therapist: &Device, client: &Device) -> (String, String) {
    therapist.online();
    client.online();
    therapist.enrol(&relay.enrolment(5));
    let (of_client, link) = therapist.invite("Client in the test");
    let of_therapist = client.join(&link);
    therapist.wait_state(&of_client, ContactState::Paired);
    client.wait_state(&of_therapist, ContactState::Paired);
    (of_client, of_therapist)
}

fn send(device: &Device, contact: &str, texts: &[String]) {
    for text in texts {
        device.client().send(contact.to_owned(), text.clone()).unwrap();
    }
}

fn texts(what: &str, number: usize) -> Vec<String> {
    (1..=number).map(|number| format!("{what} {number}")).collect()
}

#[test]
fn after_a_restore_every_text_arrives_once_and_in_order_even_those_that_only_the_lost_disk_had() {
    let mut relay = Relay::start();
    let (therapist, client) = (Device::new(), Device::new());
    let (of_client, of_therapist) = pair(&relay, &therapist, &client);
    let (unused, _) = therapist.invite("Nobody yet");

    // The backup is written while both write; what it has is whatever the relay knew at some moment of that.
    let (to_therapist, to_client) = (texts("while it is backed up", 60), texts("answer", 60));
    let file = relay.data().join("relay.backup");
    let written = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for (one, two) in to_therapist.iter().zip(&to_client) {
                send(&client, &of_therapist, std::slice::from_ref(one));
                send(&therapist, &of_client, std::slice::from_ref(two));
            }
            client.settle();
            written.store(true, Ordering::SeqCst);
        });
        relay.operate("backup", &[file.to_str().unwrap()]);
    });
    assert!(written.load(Ordering::SeqCst));
    therapist.wait_all_delivered(&of_client);
    client.wait_all_delivered(&of_therapist);

    // Accepted, never fetched, and gone with the disk.
    client.offline();
    let lost = texts("only on the lost disk", 40);
    send(&therapist, &of_client, &lost);
    therapist.settle();
    relay.lose_disk();
    let restored = relay.operate("restore", &[file.to_str().unwrap()]);
    assert!(restored.contains("2 channels"), "{restored}");
    assert!(restored.contains("1 invites that nobody had used are closed"), "{restored}");
    relay.restart();

    client.online();
    let after = texts("after all that", 10);
    send(&client, &of_therapist, &after);
    therapist.wait_all_delivered(&of_client);
    client.wait_all_delivered(&of_therapist);
    assert_eq!(client.received(&of_therapist), [to_client, lost].concat());
    assert_eq!(therapist.received(&of_client), [to_therapist, after].concat());
    therapist.wait_state(&unused, ContactState::Ended(tacit_client_core::EndedWhy::Unclaimed));
}

#[test]
fn a_drain_in_the_middle_of_a_conversation_costs_nothing_but_time() {
    let relay = Relay::start();
    let (therapist, client) = (Device::new(), Device::new());
    let (of_client, of_therapist) = pair(&relay, &therapist, &client);
    let (before, during) = (texts("before", 20), texts("during", 20));
    send(&client, &of_therapist, &before);
    relay.operate("drain", &["--notice", "Back in a minute."]);
    send(&client, &of_therapist, &during);
    relay.operate("resume", &[]);
    // Devices were told to come back in half a minute or more; whoever opens the app comes at once.
    for device in [&therapist, &client] {
        device.offline();
        device.online();
    }
    client.wait_all_delivered(&of_therapist);
    therapist.wait_all_delivered(&of_client);
    assert_eq!(therapist.received(&of_client), [before, during].concat());
}
