//! The folder that setup makes: the same on every run, readable by its owner only, and honest about what is wrong.

use crate::client::Client;
use crate::server::{Server, options};
use nkeys::KeyPair;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use watchkeeper_nats::{
    Layout, Outcome, Program, SetupError, creds, issue_agent, issue_reader, rotate, setup,
};

/// Every file below `dir` with its bytes and the time of its last change.
fn contents(dir: &Path) -> BTreeMap<PathBuf, (Vec<u8>, std::time::SystemTime)> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(contents(&path));
        } else {
            let changed = path.metadata().unwrap().modified().unwrap();
            all.insert(path.clone(), (fs::read(&path).unwrap(), changed));
        }
    }
    all
}

fn made(teams: &[&str]) -> (tempfile::TempDir, Layout) {
    let dir = tempfile::tempdir().unwrap();
    let layout = setup(&options(&dir.path().join("nats"), teams)).unwrap().layout;
    (dir, layout)
}

#[test]
fn a_second_setup_changes_no_byte() {
    let (_dir, layout) = made(&["default"]);
    issue_agent(&layout, &"default".parse().unwrap(), &"web-1".parse().unwrap()).unwrap();
    let before = contents(&layout.dir);
    assert!(before.len() > 20, "{before:?}");
    let report = setup(&options(&layout.dir, &["default"])).unwrap();
    let again = issue_agent(&layout, &"default".parse().unwrap(), &"web-1".parse().unwrap()).unwrap();
    assert!(contents(&layout.dir) == before, "a file has changed");
    assert!(report.files.iter().all(|(_, outcome)| *outcome == Outcome::Kept), "{report:?}");
    assert_eq!(again.outcome, Outcome::Kept);
}

#[test]
fn only_the_owner_reads_files_and_enters_folders() {
    let (_dir, layout) = made(&["default"]);
    issue_reader(&layout, &"default".parse().unwrap(), &"screen".parse().unwrap()).unwrap();
    rotate(&layout, Program::Gateway).unwrap();
    for path in contents(&layout.dir).keys() {
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o600, "{}", path.display());
    }
    let dirs = [layout.operator(), layout.gateway(), layout.creds(), layout.accounts(), layout.jetstream()];
    for dir in dirs.iter().chain([&layout.dir]) {
        assert_eq!(dir.metadata().unwrap().permissions().mode() & 0o7777, 0o700, "{}", dir.display());
    }
}

#[test]
fn a_new_team_joins_a_running_server_and_old_teams_stay() {
    let server = Server::start(&["a"]);
    let report = setup(&options(&server.layout.dir, &["b"])).unwrap();
    assert_eq!(report.teams.iter().map(AsRef::as_ref).collect::<Vec<&str>>(), ["a", "b"]);
    for team in ["a", "b"] {
        Client::connect(&server.address, &server.agent(team, "web-1")).unwrap();
    }
}

#[test]
fn what_is_lost_and_can_be_made_again_is_made_again() {
    let mut server = Server::start(&["a"]);
    let agent = server.agent("a", "web-1");
    let layout = server.layout.clone();
    let account = layout.account_jwt(&server.key("agents-a.nk").public_key());
    let lost = [layout.operator_jwt(), account, layout.conf(), layout.program_creds(Program::Gateway)];
    for path in &lost {
        fs::remove_file(path).unwrap();
    }
    let report = setup(&options(&layout.dir, &["a"])).unwrap();
    for (path, outcome) in report.files {
        let wanted = if lost.contains(&path) { Outcome::Created } else { Outcome::Kept };
        assert_eq!(outcome, wanted, "{}", path.display());
    }
    server.restart();
    Client::connect(&server.address, &agent).unwrap();
    Client::connect(&server.address, &server.program(Program::Gateway)).unwrap();
}

#[test]
fn a_revocation_outlives_a_setup() {
    let (_dir, layout) = made(&["a"]);
    let old = fs::read_to_string(layout.program_creds(Program::Gateway)).unwrap();
    rotate(&layout, Program::Gateway).unwrap();
    let report = setup(&options(&layout.dir, &["a"])).unwrap();
    assert!(report.files.iter().all(|(_, outcome)| *outcome == Outcome::Kept), "{report:?}");
    // The old file put back by mistake is refused by the server, so setup replaces it.
    fs::write(layout.program_creds(Program::Gateway), &old).unwrap();
    setup(&options(&layout.dir, &["a"])).unwrap();
    assert_ne!(fs::read_to_string(layout.program_creds(Program::Gateway)).unwrap(), old);
}

#[test]
fn a_lost_key_is_an_error_and_never_replaced() {
    for file in ["operator.nk", "operator.signing.nk", "core.nk", "core.gateway.nk", "agents-a.agent.nk"] {
        let (_dir, layout) = made(&["a"]);
        let path = [layout.operator(), layout.gateway()]
            .map(|dir| dir.join(file))
            .into_iter()
            .find(|it| it.exists());
        let path = path.unwrap();
        fs::remove_file(&path).unwrap();
        let error = setup(&options(&layout.dir, &["a"])).unwrap_err();
        assert!(
            matches!(&error, SetupError::Missing { path, .. } if path.ends_with(file)),
            "{file}: {error}"
        );
        assert!(error.to_string().contains("put the file back"), "{error}");
        assert!(!path.exists());
    }
}

#[test]
fn the_gateway_finds_what_it_signs_with_in_its_own_folder_and_nothing_else() {
    let (_dir, layout) = made(&["a"]);
    let names: Vec<String> = contents(&layout.gateway())
        .keys()
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    let wanted = [
        "agents-a.agent.nk",
        "agents-a.pub",
        "channels.pub",
        "gateway.creds",
        "readers.pub",
        "readers.reader.nk",
    ];
    assert_eq!(names, wanted);
    // All that a container of the gateway sees.
    let alone = tempfile::tempdir().unwrap();
    let seen = Layout::new(alone.path());
    fs::rename(layout.gateway(), seen.gateway()).unwrap();
    let key = watchkeeper_nats::UserKey::read(&KeyPair::new_user().public_key().parse().unwrap()).unwrap();
    let (team, host) = ("a".parse().unwrap(), "web-1".parse().unwrap());
    let jwt = watchkeeper_nats::sign_agent(&seen, &team, &host, &key, 4_000_000_000).unwrap();
    assert_eq!(watchkeeper_nats::read_agent(&seen, &jwt).unwrap().unwrap().host, host);
    watchkeeper_nats::make_reader(&seen, &team, &"screen".parse().unwrap()).unwrap();
    let account = watchkeeper_nats::AccountName::Agents(team);
    let error = watchkeeper_nats::ensure_account(&seen, &account, &[].into()).unwrap_err();
    assert!(error.to_string().contains("operator.signing.nk"), "it signed an account: {error}");
    rotate(&seen, Program::Processors).unwrap_err();
}

#[test]
fn a_folder_of_an_earlier_version_is_put_in_order_and_every_credential_goes_on() {
    let mut server = Server::start(&["a"]);
    let layout = server.layout.clone();
    let agent = server.agent("a", "web-1");
    let programs = Program::ALL.map(|program| server.program(program));
    let keys = layout.dir.join("keys");
    fs::create_dir(&keys).unwrap();
    for dir in [layout.operator(), layout.gateway()] {
        for path in contents(&dir).keys() {
            let name = path.file_name().unwrap();
            match path.extension().unwrap().to_str().unwrap() {
                "nk" => fs::rename(path, keys.join(name)).unwrap(),
                "creds" => fs::rename(path, layout.creds().join(name)).unwrap(),
                _ => fs::remove_file(path).unwrap(),
            }
        }
        fs::remove_dir(dir).unwrap();
    }
    // A crash left one in both places.
    fs::create_dir(layout.operator()).unwrap();
    fs::copy(keys.join("core.nk"), layout.operator().join("core.nk")).unwrap();
    let report = setup(&options(&layout.dir, &["a"])).unwrap();
    for (path, outcome) in &report.files {
        let made = path.extension().is_some_and(|it| it == "pub" || it == "xk");
        assert_eq!(*outcome, if made { Outcome::Created } else { Outcome::Kept }, "{}", path.display());
    }
    assert!(!keys.exists() && !layout.creds().join("processors.creds").exists());
    assert_eq!(Program::ALL.map(|program| server.program(program)), programs);
    server.restart();
    Client::connect(&server.address, &agent).unwrap();
    rotate(&layout, Program::Gateway).unwrap();

    fs::create_dir(&keys).unwrap();
    fs::write(keys.join("core.nk"), KeyPair::new_account().seed().unwrap()).unwrap();
    fs::set_permissions(keys.join("core.nk"), fs::Permissions::from_mode(0o600)).unwrap();
    let error = setup(&options(&layout.dir, &["a"])).unwrap_err().to_string();
    assert!(error.contains("keys/core.nk") && error.contains("Another one"), "a key was replaced: {error}");
}

#[test]
fn a_secret_that_others_can_read_is_an_error_that_says_what_to_type() {
    let (_dir, layout) = made(&["a"]);
    for path in [layout.operator_signing_key(), layout.program_creds(Program::Sys)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = setup(&options(&layout.dir, &["a"])).unwrap_err().to_string();
        assert!(
            error.contains(&format!("chmod 600 {}", path.display())) && error.contains("0644"),
            "{error}"
        );
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
}

#[test]
fn a_corrupt_file_is_an_error_that_names_it() {
    let (_dir, layout) = made(&["a"]);
    let user = KeyPair::new_user().seed().unwrap();
    let files = [
        (layout.operator().join("core.nk"), user),
        (layout.operator().join("core.nk"), String::new()),
        (layout.operator_jwt(), "x.y.z".into()),
        (layout.program_creds(Program::Gateway), "-----BEGIN NATS USER JWT-----".into()),
        (layout.accounts().join("A.jwt"), "eyJ".into()),
    ];
    for (path, text) in files {
        let before = fs::read(&path).ok();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let error = setup(&options(&layout.dir, &["a"])).unwrap_err();
        assert!(matches!(&error, SetupError::Corrupt { .. }), "{error}");
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
        match before {
            Some(bytes) => fs::write(&path, bytes).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
    }
    setup(&options(&layout.dir, &["a"])).unwrap();
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let error = setup(&options(&dir.path().join("file/nats"), &["a"])).unwrap_err().to_string();
    assert!(error.contains("cannot create the folder") && error.contains("file/nats"), "{error}");
}

#[test]
fn a_credential_never_overwrites_that_of_another_host() {
    let (_dir, layout) = made(&["a", "a-b"]);
    let first = issue_agent(&layout, &"a".parse().unwrap(), &"b-c".parse().unwrap()).unwrap();
    let second = issue_agent(&layout, &"a-b".parse().unwrap(), &"c".parse().unwrap()).unwrap();
    for (issued, name) in [(&first, "agent.a.b-c"), (&second, "agent.a-b.c")] {
        let kept = creds::parse(&fs::read_to_string(&issued.creds).unwrap()).unwrap();
        assert_eq!(kept.claims.name, name);
    }
    fs::copy(&first.creds, &second.creds).unwrap();
    let error = issue_agent(&layout, &"a-b".parse().unwrap(), &"c".parse().unwrap()).unwrap_err();
    assert!(error.to_string().contains("credential of another user"), "{error}");
}

#[test]
fn a_team_that_is_not_set_up_gets_no_credential() {
    let (_dir, layout) = made(&["a"]);
    for error in [
        issue_agent(&layout, &"b".parse().unwrap(), &"web-1".parse().unwrap()).unwrap_err(),
        issue_reader(&layout, &"b".parse().unwrap(), &"screen".parse().unwrap()).unwrap_err(),
    ] {
        assert!(error.to_string().contains("AGENTS-b is not set up"), "{error}");
    }
    let error = rotate(&Layout::new(layout.dir.join("nowhere")), Program::Sys).unwrap_err().to_string();
    assert!(error.contains("Nothing is set up here"), "{error}");
}
