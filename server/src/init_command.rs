//! `tacit-server init`: asks four questions (or takes flags), and writes a configuration, a data folder and a systemd unit.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufRead, IsTerminal, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::ValueEnum;
use tacit_proto::link::RelayAddress;
use tacit_server::Enrolments;
use tacit_server::settings::{self, Settings, Tls};

use crate::Failure;
use crate::args::{Init, quoted};

/// The unit of the package, with the places that a hand-made installation has elsewhere.
const UNIT: &str = include_str!("../packaging/tacit-server.service");

/// Where the package puts its unit, and what that unit expects.
const PACKAGED_UNIT: &str = "/usr/lib/systemd/system/tacit-server.service";
const PACKAGED_CONFIG: &str = "/etc/tacit";
const PACKAGED_DATA: &str = "/var/lib/tacit";

pub(crate) fn init(args: &Init) -> Result<(), Failure> {
    let is_packaged = args.folder.is_none() && Path::new(PACKAGED_UNIT).exists();
    let folder = match &args.folder {
        Some(folder) => std::path::absolute(folder)?,
        None if is_packaged => PACKAGED_CONFIG.into(),
        None => std::env::current_dir()?,
    };
    let config = folder.join("tacit.toml");
    let unit = (!is_packaged).then(|| folder.join("tacit-server.service"));
    if let Some(there) = [Some(&config), unit.as_ref()].into_iter().flatten().find(|path| path.exists()) {
        return Err(format!("{} is there already, and is left as it is; move it away first", there.display()).into());
    }
    let data = if is_packaged { PACKAGED_DATA.into() } else { folder.join(settings::DEFAULT_DATA) };
    let text = settings::file(&answers(args, &data)?);
    // What would not start is not written.
    let settings = Settings::parse(&config, &text)?;
    settings.config()?.check()?;
    let data = settings.data();
    Enrolments::open(&data).map_err(|error| format!("{} cannot be made: {error}", data.display()))?;
    make_readable_folder(&folder)?;
    write_new(&config, &text)?;
    if let Some(unit) = &unit {
        write_new(unit, &fitted_unit(&std::env::current_exe()?, &config, &data, &args.user)?)?;
    }
    report(&settings, &config, unit.as_deref(), &data, &args.user)?;
    Ok(())
}

/// What the flags say, and for the rest, what the operator answers.
fn answers(args: &Init, default_data: &Path) -> Result<Vec<(&'static str, String)>, Failure> {
    let url = match &args.url {
        Some(url) => url.clone(),
        None => ask("1. Where will devices reach this relay? wss://HOST, or wss://HOST:PORT", "--url", None, |text| {
            RelayAddress::from_str(text).map_err(|error| error.to_string())
        })?,
    };
    let tls = match (args.tls, args.pinned) {
        (Some(tls), _) => tls,
        (None, true) => Tls::Pinned,
        (None, false) => ask(TLS_QUESTION, "--tls", Some("1"), tls_choice)?,
    };
    let files = match tls {
        Tls::Files => {
            let file = |given: &Option<PathBuf>, question: &str, flag: &str| match given {
                Some(path) => Ok(std::path::absolute(path)?),
                None => ask(question, flag, None, existing_file),
            };
            let chain = file(&args.certificate, "   The certificate chain, a PEM file", "--certificate")?;
            let key = file(&args.private_key, "   Its private key, a PEM file", "--private-key")?;
            vec![("certificate", utf8(chain)?), ("private_key", utf8(key)?)]
        }
        _ => Vec::new(),
    };
    let data = match &args.data {
        Some(data) => data.clone(),
        None => ask("3. Where may it keep its data?", "--data", default_data.to_str(), |text| Ok(PathBuf::from(text)))?,
    };
    let operator = match &args.operator {
        Some(operator) => operator.clone(),
        None => {
            ask("4. Who runs it, and how can people reach them? Shown on its page", "--operator", Some(""), |text| {
                Ok(text.to_owned())
            })?
        }
    };
    let listen = match tls {
        Tls::Off | Tls::Proxy => settings::DEFAULT_LISTEN,
        _ => format!("{}:{}", any_address(), url.port()).parse()?,
    };
    let mut set = vec![
        ("url", url.as_str().to_owned()),
        ("listen", listen.to_string()),
        ("tls", tls.to_possible_value().map_or_else(String::new, |tls| tls.get_name().to_owned())),
        ("data", utf8(std::path::absolute(data)?)?),
    ];
    set.extend(files);
    set.extend((!operator.is_empty()).then_some(("operator", operator)));
    Ok(set)
}

fn utf8(path: PathBuf) -> Result<String, Failure> {
    Ok(path.into_os_string().into_string().map_err(|_| "a path in the configuration must be UTF-8")?)
}

const TLS_QUESTION: &str = "2. How are connections encrypted?
   1  with a key of its own, pinned in every link: no domain name and no authority needed
   2  with a certificate that it gets and renews by itself (needs a public domain name and port 443)
   3  with certificate files that you have
   4  by a proxy in front of it (nginx, Caddy)
  ";

fn tls_choice(text: &str) -> Result<Tls, String> {
    match text {
        "1" | "pinned" => Ok(Tls::Pinned),
        "2" | "acme" => Ok(Tls::Acme),
        "3" | "files" => Ok(Tls::Files),
        "4" | "proxy" => Ok(Tls::Proxy),
        _ => Err("please answer 1, 2, 3 or 4".to_owned()),
    }
}

fn existing_file(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    match path.is_file() {
        true => std::path::absolute(path).map_err(|error| error.to_string()),
        false => Err("there is no such file".to_owned()),
    }
}

/// Every address of this machine: those of IPv6 include those of IPv4, where there is IPv6.
fn any_address() -> &'static str {
    if TcpListener::bind("[::]:0").is_ok() { "[::]" } else { "0.0.0.0" }
}

/// Asks until the answer can be used.
fn ask<T>(
    question: &str,
    flag: &str,
    default: Option<&str>,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<T, Failure> {
    if !io::stdin().is_terminal() {
        return Err(format!("{flag} is missing, and there is nobody to ask").into());
    }
    let mut out = io::stdout().lock();
    loop {
        match default {
            Some(default) if !default.is_empty() => write!(out, "{question} [{default}]: ")?,
            _ => write!(out, "{question}: ")?,
        }
        out.flush()?;
        let mut line = String::new();
        if io::stdin().lock().read_line(&mut line)? == 0 {
            return Err("nothing was written".into());
        }
        let answer = match (line.trim(), default) {
            ("", Some(default)) => default,
            (answer, _) => answer,
        };
        match read(answer) {
            Ok(answer) => return Ok(answer),
            Err(why) => writeln!(out, "   {why}")?,
        }
    }
}

fn fitted_unit(program: &Path, config: &Path, data: &Path, user: &str) -> Result<String, Failure> {
    let (program, config, data) = (utf8(program.to_owned())?, utf8(config.to_owned())?, utf8(data.to_owned())?);
    // What lies in somebody's home must be seen there.
    let at_home =
        [&program, &config, &data].iter().any(|path| path.starts_with("/home/") || path.starts_with("/root/"));
    let unit = if at_home { UNIT.replace("ProtectHome=true\n", "") } else { UNIT.to_owned() };
    Ok(unit
        .replace("/usr/bin/tacit-server", &program)
        .replace("/etc/tacit/tacit.toml", &config)
        .replace("/var/lib/tacit", &data)
        .replace("StateDirectory=tacit\nStateDirectoryMode=0700\n", &format!("ReadWritePaths={data}\n"))
        .replace("User=tacit\n", &format!("User={user}\n"))
        .replace("Group=tacit\n", &format!("Group={user}\n")))
}

/// The relay's user must come to the configuration, whatever this user's umask. There is no secret in it.
fn make_readable_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    fs::set_permissions(folder, Permissions::from_mode(0o755))
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file: File = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.set_permissions(Permissions::from_mode(0o644))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn report(settings: &Settings, config: &Path, unit: Option<&Path>, data: &Path, user: &str) -> io::Result<()> {
    let is_elsewhere = data != Path::new(PACKAGED_DATA);
    let shown = |path: &Path| quoted(&path.display().to_string());
    let config = shown(config);
    let mut out = io::stdout().lock();
    writeln!(out, "Written: {config}")?;
    if let Some(unit) = unit {
        writeln!(out, "         {}", shown(unit))?;
    }
    writeln!(out, "         {}, empty", shown(data))?;
    writeln!(out, "Next:")?;
    if settings.tls() == Tls::Proxy {
        writeln!(out, "  set your proxy up: the operator's guide has what to paste")?;
    }
    match unit {
        None => {
            if is_elsewhere {
                let (data, drop_in) = (shown(data), "/etc/systemd/system/tacit-server.service.d");
                writeln!(out, "  chown -R tacit: {data}; mkdir -p {drop_in}")?;
                writeln!(out, "  printf '[Service]\\nReadWritePaths=%s\\n' {data} > {drop_in}/data.conf")?;
                writeln!(out, "  systemctl daemon-reload      so that the service may write there")?;
            }
            writeln!(out, "  tacit-server doctor")?;
            writeln!(out, "  systemctl enable --now tacit-server")?;
        }
        Some(unit) => {
            writeln!(out, "  tacit-server doctor --config {config}")?;
            writeln!(out, "  tacit-server --config {config}      to try it")?;
            let (user, data) = (quoted(user), shown(data));
            writeln!(out, "  as a service: useradd --system {user}; chown -R {user}: {data}; cp {} \\", shown(unit))?;
            writeln!(out, "      /etc/systemd/system/; systemctl enable --now tacit-server")?;
        }
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_names_the_places_of_this_installation() {
        let unit = fitted_unit(Path::new("/opt/t"), Path::new("/opt/c.toml"), Path::new("/srv/data"), "relay").unwrap();
        assert!(unit.contains("ExecStart=/opt/t") && unit.contains("/opt/c.toml"), "{unit}");
        assert!(unit.contains("User=relay\n") && unit.contains("ReadWritePaths=/srv/data\n"), "{unit}");
        for place in ["/usr/bin/tacit-server", "/etc/tacit", "/var/lib/tacit", "StateDirectory"] {
            assert!(!unit.contains(place), "{place} in {unit}");
        }
        assert!(unit.contains("\nProtectHome=true\n"), "{unit}");
        let at_home =
            fitted_unit(Path::new("/home/x/t"), Path::new("/opt/c.toml"), Path::new("/srv/data"), "x").unwrap();
        assert!(!at_home.contains("ProtectHome"), "{at_home}");
    }
}
