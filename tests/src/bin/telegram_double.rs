//! `telegram-double`: Telegram's interface for bots, to try things out by hand.

use clap::Parser;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use watchkeeper_tests::telegram::{Double, HELP};

/// A double of Telegram's interface for bots: speaks its HTTP, keeps its limits, writes down what arrives.
#[derive(Debug, Parser)]
#[command(name = "telegram-double", after_help = HELP)]
struct Line {
    /// Where to listen; on loopback only, for anybody may speak to it
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// A token that is good; may be given again
    #[arg(long)]
    token: Vec<String>,
    /// A file that holds such a token
    #[arg(long)]
    token_file: Option<PathBuf>,
    /// Writes the address here once it listens
    #[arg(long)]
    address_file: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(Line::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell where even that fails.
            writeln!(std::io::stderr(), "error: {error}").ok();
            ExitCode::FAILURE
        }
    }
}

fn run(line: Line) -> std::io::Result<()> {
    if !line.listen.ip().is_loopback() {
        return Err(std::io::Error::other(
            "--listen: expected an address of this machine alone, as 127.0.0.1:0",
        ));
    }
    let mut tokens = line.token;
    if let Some(file) = &line.token_file {
        tokens.push(std::fs::read_to_string(file)?.trim().to_owned());
    }
    let double = Double::start(line.listen)?;
    double.with(|state| tokens.iter().for_each(|token| state.add_token(token)));
    writeln!(std::io::stdout(), "{}", double.url())?;
    if let Some(file) = &line.address_file {
        let part = file.with_extension("part");
        std::fs::write(&part, double.url())?;
        std::fs::rename(part, file)?;
    }
    double.wait();
    Ok(())
}
