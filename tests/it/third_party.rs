//! What third parties are promised: the documented programs, with a reader's credential, hear and cannot speak.

use crate::load::Load;
use crate::running::{Running, WITHOUT_AGENT, as_processors, start};
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use watchkeeper_streams::runner::jetstream;

/// Subjects that no reader may speak on, each with the stream that would keep it.
const FORBIDDEN: [(Option<&str>, &str); 8] = [
    (Some("SAMPLES"), "sample.v1.default.31.web-1"),
    (Some("SAMPLES"), "tick.v1"),
    (Some("JOURNAL"), "journal.v1.default.host.web-1"),
    (Some("ALERTS"), "alert.v1.default.31.web-1.rule"),
    (Some("KV_LATEST"), "$KV.LATEST.default.web-1"),
    (None, "public.v1.default.host.web-1"),
    (None, "$JS.API.STREAM.LIST"),
    (None, "_INBOX.default.web-1"),
];

/// Tries to publish on each subject that it is given; prints to how many the server said no.
const SPEAKER: &str = r#"
import asyncio, sys, nats

async def main(creds, url, *subjects):
    refusals = []
    async def on_error(error):
        refusals.append(str(error))
    client = await nats.connect(url, user_credentials=creds, error_cb=on_error)
    for subject in subjects:
        await client.publish(subject, b"spoken by a reader", reply="public.v1.default.host.reply")
    await client.flush()
    deadline = asyncio.get_running_loop().time() + 5
    while len(refusals) < len(subjects) and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.01)
    refused = [s for s in subjects if any(s.lower() in r.lower() for r in refusals)]
    print(len(refused), "of", len(subjects), "refused", flush=True)
    await client.close()

asyncio.run(main(*sys.argv[1:]))
"#;

#[test]
fn the_documented_programs_hear_the_feed_and_can_publish_nothing() {
    let running = start(&WITHOUT_AGENT);
    let folder = tempfile::tempdir().unwrap();
    let program = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let documented = [
        python(&running, &program("feed.py", &example_of_the_docs("python"))),
        node(&running, folder.path(), &program("feed.mjs", &example_of_the_docs("javascript"))),
    ];
    let mut feeds = documented.map(Feed::start);
    let load = Load::start(&running, 5, Duration::from_millis(500));
    for feed in &mut feeds {
        for host in ["load-00", "load-04"] {
            feed.wait_for(&format!("{host} cpu "));
        }
    }

    load.stop();

    let mut speaker = python(&running, &program("speaker.py", SPEAKER));
    let said = speaker.args(FORBIDDEN.map(|(_, subject)| subject)).output().unwrap();
    let text = String::from_utf8_lossy(&said.stdout);
    assert!(text.contains("8 of 8 refused"), "{text}{}", String::from_utf8_lossy(&said.stderr));
    assert_eq!(kept_of_readers(&running), [""; 0], "a reader changed a stream");
}

/// The forbidden subjects whose newest message in the log came from a reader.
fn kept_of_readers(running: &Running) -> Vec<&'static str> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let context = jetstream(as_processors(running, &running.creds().processors).await.client);
        let mut kept = Vec::new();
        for (stream, subject) in FORBIDDEN {
            let Some(stream) = stream else { continue };
            let stream = context.get_stream(stream).await.unwrap();
            match stream.get_last_raw_message_by_subject(subject).await {
                Ok(message) if &message.payload[..] == b"spoken by a reader" => kept.push(subject),
                Ok(_) => {}
                Err(error) => assert_eq!(error.kind(), LastRawMessageErrorKind::NoMessageFound, "{error}"),
            }
        }
        kept
    })
}

/// The program in this language as it stands in docs/third-party.md.
fn example_of_the_docs(language: &str) -> String {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/third-party.md");
    let text = std::fs::read_to_string(docs).unwrap();
    let example =
        text.split(&format!("```{language}\n")).nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    assert!(example.lines().count() <= 40, "the example is not short any more");
    example.to_owned()
}

fn python(running: &Running, program: &Path) -> Command {
    let (interpreter, packages) =
        xtask::tools::python_reader().expect("nats-py, as `cargo xtask test` brings it");
    let mut command = Command::new(interpreter);
    command.env("PYTHONPATH", packages).arg(program).arg(&running.creds().reader).arg(running.nats_url());
    command
}

/// Packages are found from the program's own folder upwards.
fn node(running: &Running, folder: &Path, program: &Path) -> Command {
    let packages = xtask::tools::node_reader().expect("transport-node, as `cargo xtask test` brings it");
    std::os::unix::fs::symlink(packages.join("node_modules"), folder.join("node_modules")).unwrap();
    let mut command = Command::new("node");
    command.arg(program).arg(&running.creds().reader).arg(running.nats_url());
    command
}

/// The running program and the lines that it prints.
struct Feed {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Feed {
    fn start(mut program: Command) -> Self {
        let mut child = program.stdout(Stdio::piped()).spawn().unwrap();
        let (told, lines) = mpsc::channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| told.send(line)));
        Self { child, lines }
    }

    fn wait_for(&mut self, text: &str) {
        let mut seen = Vec::new();
        while !seen.last().is_some_and(|line: &String| line.contains(text)) {
            let next = self.lines.recv_timeout(Duration::from_secs(20));
            seen.push(next.unwrap_or_else(|error| panic!("waited for {text:?}: {error}; heard {seen:?}")));
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
