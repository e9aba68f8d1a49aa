//! Whether a configuration can be used: everything that is wrong with it, at once.

use crate::config::{Config, RunArgs};
use crate::http::site::Site;
use std::net::SocketAddr;
use std::path::PathBuf;

impl RunArgs {
    /// Checks everything.
    ///
    /// # Errors
    /// Every mistake, each in a sentence.
    pub fn check(&self) -> Result<Config, Vec<String>> {
        let mut mistakes = Vec::new();
        let listen = note(&mut mistakes, self.reached_from());
        let metrics_listen = note(&mut mistakes, loopback("metrics_listen", &self.metrics_listen));
        let tls = note(&mut mistakes, self.tls());
        let site = match listen {
            Some(listen) => note(&mut mistakes, self.site(listen)),
            None => None,
        };
        note(&mut mistakes, nats_url("nats", &self.nats));
        let nats_public_url = self.nats_public_url.as_ref().unwrap_or(&self.nats);
        note(
            &mut mistakes,
            self.nats_public_url.as_ref().map_or(Ok(()), |url| nats_url("nats_public_url", url)),
        );
        note(
            &mut mistakes,
            std::fs::metadata(&self.nats_creds).map_err(|error| {
                format!(
                    "nats_creds: cannot read {}: {error} (`nats setup` makes it)",
                    self.nats_creds.display()
                )
            }),
        );
        let questdb = note(&mut mistakes, host_and_port(&self.questdb_pg));
        let password = std::fs::read_to_string(&self.questdb_password_file).map_err(|error| {
            format!("questdb_password_file: cannot read {}: {error}", self.questdb_password_file.display())
        });
        let password = note(&mut mistakes, password);
        match (listen.zip(metrics_listen), site.zip(tls), questdb.zip(password)) {
            (Some((listen, metrics_listen)), Some((site, tls)), Some(((host, port), password)))
                if mistakes.is_empty() =>
            {
                Ok(Config {
                    listen,
                    metrics_listen,
                    site,
                    tls,
                    secrets_dir: self.secrets_dir.clone(),
                    open_registration: self.open_registration,
                    nats_dir: self.nats_dir.clone(),
                    nats_public_url: nats_public_url.clone(),
                    nats: self.nats.clone(),
                    nats_creds: self.nats_creds.clone(),
                    questdb_host: host,
                    questdb_port: port,
                    questdb_user: self.questdb_user.clone(),
                    questdb_password: password.trim().to_owned(),
                })
            }
            (_, _, _) => Err(mistakes),
        }
    }

    /// An address beyond loopback is for a gateway whose passwords cannot be read on the way.
    fn reached_from(&self) -> Result<SocketAddr, String> {
        let listen = socket_address("listen", &self.listen)?;
        if listen.ip().is_loopback() || self.tls_cert.is_some() || self.behind_proxy {
            return Ok(listen);
        }
        Err(format!(
            "listen: {listen} can be reached from other machines, and passwords would travel readable: give --tls-cert and \
             --tls-key, or --behind-proxy where a proxy before the gateway speaks TLS, or use 127.0.0.1 or [::1]"
        ))
    }

    fn tls(&self) -> Result<Option<(PathBuf, PathBuf)>, String> {
        match (&self.tls_cert, &self.tls_key) {
            (None, None) => Ok(None),
            (Some(_), None) | (None, Some(_)) => Err("tls_cert and tls_key: give both or neither".to_owned()),
            (Some(_), Some(_)) if self.behind_proxy => {
                Err("behind_proxy: a proxy that speaks TLS and a certificate of the gateway's own exclude each other".to_owned())
            }
            (Some(cert), Some(key)) => {
                let readable = |name: &str, path: &PathBuf| {
                    std::fs::metadata(path).map_err(|error| format!("{name}: cannot read {}: {error}", path.display()))
                };
                readable("tls_cert", cert)?;
                readable("tls_key", key)?;
                Ok(Some((cert.clone(), key.clone())))
            }
        }
    }

    fn site(&self, listen: SocketAddr) -> Result<Site, String> {
        let url = match (&self.public_url, self.behind_proxy) {
            (Some(url), _) => url.clone(),
            (None, true) => {
                return Err(
                    "public_url: say where people reach the proxy, such as https://watch.example.org"
                        .to_owned(),
                );
            }
            (None, false) if self.tls_cert.is_some() => format!("https://{listen}"),
            (None, false) => format!("http://{listen}"),
        };
        let site = Site::new(&url, self.behind_proxy)
            .map_err(|expected| format!("public_url: expected {expected}, found {url:?}"))?;
        if self.tls_cert.is_some() && !site.is_secure() {
            return Err(format!("public_url: {url} is not https, and the gateway speaks TLS"));
        }
        Ok(site)
    }
}

/// The value, or its mistake noted.
fn note<T>(mistakes: &mut Vec<String>, read: Result<T, String>) -> Option<T> {
    read.map_err(|mistake| mistakes.push(mistake)).ok()
}

fn socket_address(name: &str, text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("{name}: expected an address such as 127.0.0.1:7171, found {text:?}"))
}

fn loopback(name: &str, text: &str) -> Result<SocketAddr, String> {
    let address = socket_address(name, text)?;
    if address.ip().is_loopback() {
        return Ok(address);
    }
    Err(format!(
        "{name}: {address} can be reached from other machines, and needs no log-in. Use 127.0.0.1 or [::1], and a tunnel \
         such as `ssh -L` from elsewhere"
    ))
}

fn nats_url(name: &str, text: &str) -> Result<(), String> {
    let wrong = |url: &str| format!("{name}: expected nats://host:port, found {url:?}");
    match text.split(',').find(|url| url.parse::<async_nats::ServerAddr>().is_err()) {
        None => Ok(()),
        Some(url) => Err(wrong(url)),
    }
}

fn host_and_port(text: &str) -> Result<(String, u16), String> {
    let parts = text.rsplit_once(':').and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)));
    let whole = parts.filter(|(host, _)| !host.is_empty());
    whole.ok_or_else(|| format!("questdb_pg: expected host:port such as 127.0.0.1:8812, found {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Cli, Command};
    use clap::Parser as _;
    use std::io::Write as _;

    fn run(flags: &[&str]) -> Result<Config, Vec<String>> {
        let cli = Cli::try_parse_from([&["watchkeeper-gateway", "run"], flags].concat()).unwrap();
        match cli.command {
            Command::Run(args) => args.check(),
            Command::Bootstrap(_)
            | Command::RotateSigningKey(_)
            | Command::Host(_)
            | Command::Account(_)
            | Command::Audit(_)
            | Command::Nats(_)
            | Command::Health(_) => panic!("not asked for"),
        }
    }

    /// A file that can be read stands for every file.
    fn file() -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"secret\n").unwrap();
        file
    }

    #[test]
    fn an_open_address_needs_tls_or_a_proxy() {
        let open = ["--listen", "0.0.0.0:7171", "--metrics-listen", "[::]:1"];
        let mistakes = run(&open).unwrap_err();
        let listen = mistakes.iter().find(|it| it.starts_with("listen:")).unwrap();
        assert!(listen.contains("--tls-cert") && listen.contains("--behind-proxy"), "{listen}");
        assert!(mistakes.iter().any(|it| it.starts_with("metrics_listen:")), "{mistakes:?}");
        let file = file();
        let path = file.path().to_str().unwrap();
        let usual = ["--nats-creds", path, "--questdb-password-file", path, "--listen", "0.0.0.0:7171"];
        let with = |flags: &[&str]| run(&[&usual, flags].concat());
        assert!(with(&["--tls-cert", path, "--tls-key", path]).unwrap().site.is_secure());
        let proxied = with(&["--behind-proxy", "--public-url", "https://watch.example.org"]).unwrap();
        assert_eq!(proxied.site.origin(), "https://watch.example.org");
        for (flags, mistake) in [
            (&["--behind-proxy"][..], "public_url"),
            (&["--behind-proxy", "--public-url", "http://watch.example.org"], "public_url"),
            (&["--tls-cert", path], "tls_cert"),
            (&["--tls-cert", path, "--tls-key", "/no"], "tls_key"),
            (
                &["--tls-cert", path, "--tls-key", path, "--behind-proxy", "--public-url", "https://a"],
                "behind_proxy",
            ),
            (&["--tls-cert", path, "--tls-key", path, "--public-url", "http://localhost"], "public_url"),
        ] {
            assert!(with(flags).unwrap_err()[0].starts_with(mistake), "{flags:?}");
        }
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let flags = [
            "--listen",
            "x",
            "--nats",
            "://",
            "--nats-creds",
            "/no",
            "--questdb-pg",
            "x",
            "--questdb-password-file",
            "/no",
        ];
        let mistakes = run(&flags).unwrap_err();
        let names: Vec<&str> = mistakes.iter().filter_map(|it| it.split(':').next()).collect();
        assert_eq!(names, ["listen", "nats", "nats_creds", "questdb_pg", "questdb_password_file"]);
    }

    #[test]
    fn what_is_right_can_be_used() {
        let file = file();
        let path = file.path().to_str().unwrap();
        let config =
            run(&["--nats-creds", path, "--questdb-password-file", path, "--listen", "[::1]:0"]).unwrap();
        assert_eq!((config.questdb_password.as_str(), config.questdb_port), ("secret", 8812));
    }
}
