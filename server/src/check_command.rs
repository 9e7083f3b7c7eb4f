//! `tacit-server check-config`: says what is wrong with a configuration, or what follows from it.

use std::io::Write;

use tacit_proto::link::RelayAddress;
use tacit_server::settings::Tls;
use tacit_server::{Transport, check_files};

use crate::Failure;
use crate::args::Place;

pub(crate) fn check(place: &Place) -> Result<(), Failure> {
    let settings = place.settings()?;
    let (listen, config) = (settings.listen()?, settings.config()?);
    config.check()?;
    if let Transport::Files { certificate, private_key } = &config.transport {
        check_files(certificate, private_key, config.url.as_ref().map(RelayAddress::host))?;
    }
    let mut out = std::io::stdout().lock();
    let encrypted = match settings.tls() {
        Tls::Off => "unencrypted, to this machine only",
        Tls::Proxy => "unencrypted, to a proxy that encrypts",
        Tls::Files => "TLS 1.3 with the certificate from the files",
        Tls::Pinned => "TLS 1.3 with a key of its own, pinned in links",
        Tls::Acme => "TLS 1.3 with a certificate that it gets by itself",
    };
    writeln!(out, "The configuration can be used.")?;
    writeln!(out, "  listens on    {listen}, {encrypted}")?;
    let url = config.url.as_ref().map_or("where it listens", |url| url.as_str());
    writeln!(out, "  links say     {url}")?;
    writeln!(out, "  data          {}", config.data.display())?;
    writeln!(out, "  hold          {} hours", config.limits.hold / 3_600)?;
    writeln!(out, "  metrics       {}", config.metrics.map_or("off".to_owned(), |metrics| metrics.to_string()))?;
    Ok(())
}
