//! The container files, without a container engine: what they name is there, and what they run runs.

mod compose;
mod dockerfile;

use compose::{Service, example, services};
use dockerfile::Dockerfile;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;
use tempfile::TempDir;
use xtask::ports::free_port;
use xtask::tools::Servers;
use xtask::wait::wait_until;
use xtask::workspace::{self, Profile};

const PROGRAMS: [&str; 3] = ["watchkeeper-gateway", "watchkeeper-processors", "watchkeeper-agent"];
/// What the images of others bring of what health checks call: busybox in alpine, bash in QuestDB's own start script.
const OTHERS_COMMANDS: [(&str, &str); 2] = [("nats:", "nc"), ("questdb/questdb:", "bash")];

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

#[test]
fn only_two_ports_are_published_and_every_service_is_confined() {
    for words in ["tls", "proxy"] {
        let services = services("compose.yaml", &example(words));
        let names: Vec<&str> = services.keys().map(String::as_str).collect();
        assert_eq!(names, ["agent", "gateway", "keys", "nats", "processors", "questdb"]);
        let published: Vec<&str> = services
            .iter()
            .filter(|(_, it)| !it.0["ports"].is_null())
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(published, ["gateway", "nats"]);
        services.iter().for_each(|(name, service)| confined(name, service));
    }
    let alone = services("compose.agent.yaml", &[]);
    assert_eq!(alone.keys().collect::<Vec<_>>(), ["agent"]);
    assert!(alone["agent"].0["ports"].is_null());
    confined("agent", &alone["agent"]);
}

/// The operator's keys and the credentials of other programs are not there to be read, whatever becomes of the gateway.
#[test]
fn who_needs_a_secret_sees_it_and_nobody_else() {
    let services = services("compose.yaml", &example("tls"));
    let who = |volume: &str| -> Vec<(&str, bool)> {
        let sees = |(name, service): (&'static str, &Service)| {
            let (_, (_, read_only)) = service.mounts().find(|(source, _)| source == volume)?;
            Some((name, read_only))
        };
        let names = ["agent", "gateway", "keys", "nats", "processors", "questdb"];
        names.into_iter().filter_map(|name| sees((name, &services[name]))).collect()
    };
    let wanted: [(&str, &[(&str, bool)]); 6] = [
        ("nats", &[("keys", false), ("nats", false), ("processors", false)]),
        ("nats-operator", &[("keys", false), ("processors", false)]),
        ("nats-gateway", &[("gateway", true), ("keys", false), ("processors", false)]),
        ("gateway", &[("gateway", false)]),
        ("questdb-admin", &[("keys", false), ("processors", true), ("questdb", true)]),
        ("questdb-reader", &[("gateway", true), ("keys", false), ("questdb", true)]),
    ];
    for (volume, those) in wanted {
        assert_eq!(who(volume), those, "{volume}");
    }
}

fn confined(name: &str, Service(service): &Service) {
    let limits = &service["deploy"]["resources"]["limits"];
    for limit in ["cpus", "memory", "pids"] {
        assert!(!limits[limit].is_null(), "{name} has no limit of {limit}");
    }
    assert_eq!(service["read_only"], true, "{name} may write its own files");
    assert_eq!(service["cap_drop"], json!(["ALL"]), "{name}");
    assert_eq!(service["security_opt"], json!(["no-new-privileges:true"]), "{name}");
    assert_eq!(service["user"], "10001:10001", "{name} is somebody else");
    assert!(
        service["privileged"].is_null() && service["cap_add"].is_null() && service["pid"].is_null(),
        "{name}"
    );
    // It ends before the others begin, and its end is what they wait for.
    assert_eq!(service["healthcheck"].is_null(), name == "keys", "{name} has no health check");
    let networks = json!(service["networks"]).to_string();
    assert_eq!(
        networks.contains("outside"),
        matches!(name, "gateway" | "nats" | "processors")
            || name == "agent" && !service["networks"].is_null()
    );
    for (source, target) in Service(service.clone()).mounts() {
        let is_volume = !source.starts_with(['/', '.']);
        let is_writable = !target.1;
        assert!(is_volume || !is_writable, "{name} may write to this machine's {source}");
    }
}

#[test]
fn the_images_are_made_of_what_is_here_and_run_what_is_tested() {
    let file = Dockerfile::read();
    file.check();
    let shipped = std::fs::read_to_string(workspace::root().join("xtask/src/shipped_agent.rs")).unwrap();
    assert!(shipped.contains("target-feature=+crt-static") && file.text.contains("+crt-static"));
    let manifest: toml::Table =
        std::fs::read_to_string(workspace::root().join("Cargo.toml")).unwrap().parse().unwrap();
    assert!(manifest["profile"].get("agent").is_some() && file.text.contains("--profile agent"));
    let rust = manifest["workspace"]["package"]["rust-version"].as_str().unwrap();
    assert!(file.text.contains(&format!("FROM rust:{rust}-")), "the image of Rust is not {rust}");
    let version = manifest["workspace"]["package"]["version"].as_str().unwrap();

    let pins = std::fs::read_to_string(workspace::root().join("xtask/pins/nats-server.txt")).unwrap();
    let jar = Servers::ensure().unwrap().questdb_jar;
    for (name, Service(service)) in services("compose.yaml", &example("tls")) {
        let (image, tag) = text(&service["image"]).split_once(':').unwrap();
        match image {
            "nats" => assert!(pins.contains(&format!("=={} ", tag.trim_end_matches("-alpine"))), "{tag}"),
            "questdb/questdb" => assert!(jar.to_string_lossy().contains(tag), "tests use {}", jar.display()),
            ours => {
                let target = text(&service["build"]["target"]);
                assert_eq!((ours, tag), (format!("watchkeeper-{target}").as_str(), version), "{name}");
                assert!(file.stages.contains_key(target), "{name}: there is no stage {target}");
            }
        }
    }
}

#[test]
fn what_the_containers_run_runs() {
    for words in ["tls", "proxy"] {
        let stand = Stand::new(words);
        let keys = stand.run("keys", &[], &[]);
        assert!(keys.status.success(), "{}", said(&keys));
        let again = stand.run("keys", &[], &[]);
        let kept = said(&again)
            .lines()
            .filter(|line| !line.is_empty())
            .all(|line| line.starts_with("kept") || line.starts_with("Start"));
        assert!(again.status.success() && kept, "a second start changed something: {}", said(&again));
        for (service, more) in
            [("gateway", &["--check-config"][..]), ("processors", &["--check-config"]), ("nats", &["-t"])]
        {
            let output = stand.run(service, more, &[]);
            assert!(output.status.success(), "{service} with {words}: {}", said(&output));
        }
        stand.enroll();
        let output = stand.run("agent", &["--check-config"], &[]);
        assert!(output.status.success() && said(&output).contains("host web-1"), "{}", said(&output));
        for service in ["processors", "agent"] {
            let output = stand.health(service, &[]);
            assert!(output.status.success(), "{service}: {}", said(&output));
        }
        stand.gateway_health();
        stand.variables_are_known();
    }
}

#[test]
fn questdb_takes_the_settings_of_its_container_and_tells_its_health() {
    let stand = Stand::new("tls");
    assert!(stand.run("keys", &[], &[]).status.success());
    let ports = ["9000", "8812", "9003"].map(|port| (port.to_owned(), free_port().unwrap().to_string()));
    let moved = |text: &str| ports.iter().fold(text.to_owned(), |text, (of, to)| text.replace(of, to));
    // The image's own health port stands in the shared file.
    let conf = stand.volume("questdb").join("conf/server.conf");
    std::fs::write(&conf, moved(&std::fs::read_to_string(&conf).unwrap())).unwrap();
    let servers = Servers::ensure().unwrap();
    let service = &stand.services["questdb"];
    let mut command = Command::new(&servers.java.program);
    command.args(servers.java.questdb_options()).arg("-p").arg(&servers.questdb_jar);
    command.args(service.words("command").iter().map(|word| stand.mapped("questdb", word)));
    command
        .env_clear()
        .envs(service.environment().map(|(name, value)| (name, moved(&stand.mapped("questdb", &value)))));
    let log = stand.folder.path().join("questdb.log");
    command.stdout(std::fs::File::create(&log).unwrap()).stderr(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    let healthy = wait_until("a healthy QuestDB", Duration::from_secs(90), || {
        let test: Vec<String> = service.words_of(&service.0["healthcheck"]["test"]);
        let output = Command::new(&test[1]).args(test[2..].iter().map(|word| moved(word))).output().unwrap();
        if output.status.success() { Ok(Some(())) } else { Err(said(&output)) }
    });
    // Its variables were heard: on loopback alone, the second address of this machine would refuse.
    let heard = wait_until("QuestDB on every address", Duration::from_secs(30), || {
        std::net::TcpStream::connect(format!("127.0.0.2:{}", ports[0].1))
            .map(Some)
            .map_err(|error| error.to_string())
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let log = std::fs::read_to_string(&log).unwrap();
    healthy.unwrap_or_else(|error| panic!("{error}\n{log}"));
    heard.unwrap_or_else(|error| panic!("{error}\n{log}"));
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A folder that stands for all volumes and mounts, and programs under the names that the images give them.
struct Stand {
    folder: TempDir,
    services: std::collections::BTreeMap<String, Service>,
    file: Dockerfile,
}

impl Stand {
    fn new(words: &str) -> Self {
        let folder = TempDir::with_prefix("watchkeeper-containers-").unwrap();
        let (bin, certificates) = (folder.path().join("bin"), folder.path().join("certificates"));
        let services = services("compose.yaml", &example(words));
        for name in ["bin", "certificates"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        for program in PROGRAMS {
            symlink(Profile::of_this_program().binary(program), bin.join(program)).unwrap();
        }
        symlink(Servers::ensure().unwrap().nats_server, bin.join("nats-server")).unwrap();
        let subject = "/CN=watch.example.org";
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", subject])
            .args([
                "-addext",
                "subjectAltName=DNS:watch.example.org",
                "-keyout",
                "key.pem",
                "-out",
                "cert.pem",
            ])
            .current_dir(certificates)
            .output()
            .unwrap_or_else(|error| panic!("openssl, which makes a certificate for this test: {error}"));
        assert!(made.status.success(), "{}", said(&made));
        let stand = Self { folder, services, file: Dockerfile::read() };
        for service in stand.services.values() {
            for (source, _) in service.mounts().filter(|(source, _)| !source.starts_with(['/', '.'])) {
                std::fs::create_dir_all(stand.volume(&source)).unwrap();
            }
        }
        stand.services.keys().for_each(|name| stand.mount(name));
        stand
    }

    /// A tree in which a service finds its volumes where its container has them, one below another as well.
    fn mount(&self, name: &str) {
        let mut mounts: Vec<_> = self.services[name].mounts().collect();
        mounts.sort_by_key(|(_, (target, _))| target.len());
        for (source, (target, _)) in mounts.iter().filter(|(source, _)| !source.starts_with(['/', '.'])) {
            let here = self.seen(name, target);
            std::fs::create_dir_all(here.parent().unwrap()).unwrap();
            if !here.exists() {
                symlink(self.volume(source), here).unwrap();
            }
        }
    }

    /// The path of a service's container in its tree.
    fn seen(&self, name: &str, path: &str) -> PathBuf {
        self.folder.path().join("seen").join(name).join(path.trim_start_matches('/'))
    }

    fn volume(&self, name: &str) -> PathBuf {
        self.folder.path().join("volumes").join(name)
    }

    /// A text of a service with the paths of its container as they are here.
    fn mapped(&self, service: &str, text: &str) -> String {
        let mut paths: Vec<(String, String)> = self.services[service]
            .mounts()
            .map(|(source, (target, _))| {
                let here = match source.as_str() {
                    "/" => PathBuf::from("/"),
                    bound if bound.starts_with(['/', '.']) => self.folder.path().join("certificates"),
                    _ => self.seen(service, &target),
                };
                (target, here.to_str().unwrap().to_owned())
            })
            .collect();
        // A folder that only holds mounts is there, too.
        paths.push(("/data/".to_owned(), format!("{}/", self.seen(service, "/data").display())));
        if let Some(target) = self.services[service].0["build"]["target"].as_str() {
            paths.extend(self.file.copied(target));
        }
        paths.sort_by_key(|(target, _)| std::cmp::Reverse(target.len()));
        let (mut mapped, mut rest) = (String::new(), text);
        while let Some(next) = rest.chars().next() {
            let found =
                paths.iter().find_map(|(target, here)| Some((rest.strip_prefix(target.as_str())?, here)));
            rest = match found {
                Some((after, here)) => {
                    mapped.push_str(here);
                    after
                }
                None => {
                    mapped.push(next);
                    &rest[next.len_utf8()..]
                }
            };
        }
        mapped
    }

    fn command(&self, name: &str, words: &[String], more: &[(&str, String)]) -> Command {
        let service = &self.services[name];
        let words: Vec<String> = words.iter().map(|word| self.mapped(name, word)).collect();
        let path = format!("{}:{}", self.folder.path().join("bin").display(), std::env::var("PATH").unwrap());
        let mut command = Command::new(self.program(&words[0]));
        command.args(&words[1..]).current_dir(self.folder.path()).env_clear().env("PATH", path);
        command.envs(service.environment().map(|(variable, value)| (variable, self.mapped(name, &value))));
        command.envs(more.iter().map(|(variable, value)| (variable, value)));
        command
    }

    /// A program of ours or NATS' by its name alone is the one in this stand.
    fn program(&self, word: &str) -> PathBuf {
        let here = self.folder.path().join("bin").join(word);
        if here.exists() { here } else { PathBuf::from(word) }
    }

    /// Runs what a service runs, and some words more.
    fn run(&self, name: &str, more: &[&str], variables: &[(&str, String)]) -> Output {
        let service = &self.services[name];
        let image = service.0["build"]["target"].as_str().map(|target| &self.file.stages[target]);
        let or_image = |key: &str, instruction: &str| match service.words(key) {
            words if words.is_empty() => image.map(|stage| stage.words(instruction)).unwrap_or_default(),
            words => words,
        };
        let mut words = [or_image("entrypoint", "ENTRYPOINT"), or_image("command", "CMD")].concat();
        words.extend(more.iter().map(|word| (*word).to_owned()));
        self.command(name, &words, variables).output().unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// Runs the health check of a service.
    fn health(&self, name: &str, variables: &[(&str, String)]) -> Output {
        let service = &self.services[name];
        let words = service.words_of(&service.0["healthcheck"]["test"]);
        assert_eq!(words[0], "CMD", "{name}");
        self.command(name, &words[1..], variables).output().unwrap()
    }

    /// What an enrolled agent keeps.
    fn enroll(&self) {
        let nats = self.volume("nats");
        let words = ["watchkeeper-gateway", "nats", "agent", "--dir", "/data/nats", "--host", "web-1"];
        let made = self.command("keys", &words.map(str::to_owned), &[]).output().unwrap();
        assert!(made.status.success(), "{}", said(&made));
        let folder = self.volume("agent");
        std::fs::copy(nats.join("creds/agent.default.web-1.creds"), folder.join("agent.creds")).unwrap();
        std::fs::write(folder.join("agent.toml"), "nats = \"tls://watch.example.org:4222\"\n").unwrap();
    }

    /// Healthy while something answers on the port of the metrics, ill while nothing does.
    fn gateway_health(&self) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let metrics = [("WATCHKEEPER_METRICS_LISTEN", listener.local_addr().unwrap().to_string())];
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let read = stream.read(&mut [0; 512]).unwrap();
            stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n").unwrap();
            read
        });
        let output = self.health("gateway", &metrics);
        assert!(output.status.success(), "{}", said(&output));
        assert!(server.join().unwrap() > 0);
        assert_eq!(self.health("gateway", &metrics).status.code(), Some(1), "nobody listens there any more");
    }

    /// Programs ignore variables that they do not know, so a misspelled one would do nothing and say nothing.
    fn variables_are_known(&self) {
        for (name, service) in &self.services {
            let Some(target) = service.0["build"]["target"].as_str().filter(|_| name != "keys") else {
                let check = service.words_of(&service.0["healthcheck"]["test"]);
                let image = text(&service.0["image"]);
                let brings = OTHERS_COMMANDS
                    .iter()
                    .any(|(of, word)| image.starts_with(of) && check.get(1).is_some_and(|it| it == word));
                assert!(brings || name == "keys", "{image} brings no {check:?}");
                continue;
            };
            let program = format!("watchkeeper-{target}");
            let run = (target != "processors").then_some("run");
            let asked =
                Command::new(self.program(&program)).args(run).arg("--help").env_clear().output().unwrap();
            // Long names begin a line of their own.
            let help = said(&asked).split_whitespace().collect::<Vec<_>>().join(" ");
            let named: BTreeSet<String> = service
                .variables()
                .filter(|variable| {
                    variable.starts_with("WATCHKEEPER_") && !help.contains(&format!("[env: {variable}="))
                })
                .collect();
            assert!(named.is_empty(), "{program} knows no {named:?}");
        }
    }
}

/// The path of a file of the repository.
fn at_root(path: &str) -> PathBuf {
    workspace::root().join(Path::new(path))
}
