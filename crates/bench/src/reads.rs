//! `banyan-bench reads`: reads by number at one node of a running cluster, with the load that the demonstration uses.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use banyan_client::{Client, Contexts, Options, Transport};
use banyan_drill::history::Pin;
use banyan_drill::local_reads;
use clap::Args;

/// What to read, and how.
#[derive(Args)]
pub(crate) struct Reads {
    /// Contexts file of the cluster
    #[arg(long, value_name = "FILE")]
    contexts: PathBuf,
    /// Who reads, for instance registrar@nghe-an
    #[arg(long = "as", value_name = "CONTEXT")]
    who: String,
    /// Which node answers
    #[arg(long, value_name = "NODE")]
    node: String,
    /// Numbers to read, one a line
    #[arg(long, value_name = "FILE")]
    pins: PathBuf,
    /// Clients with one read under way each
    #[arg(long, value_name = "COUNT", default_value_t = 16)]
    clients: usize,
    /// Reads to count, all clients together
    #[arg(long, value_name = "COUNT", default_value_t = 40_000)]
    reads: u64,
    /// All clients share a connection
    #[arg(long)]
    shared: bool,
    /// Each read is a call of its own and not part of a stream
    #[arg(long)]
    unary: bool,
}

/// Measures and prints.
pub(crate) async fn run(arguments: &Reads) -> anyhow::Result<()> {
    let text = fs::read_to_string(&arguments.pins)
        .with_context(|| format!("cannot read {}", arguments.pins.display()))?;
    let pins: Vec<Pin> = text.lines().map(|line| Pin(line.to_owned())).collect();
    let contexts = Contexts::load(&arguments.contexts)?;
    let connect = || -> anyhow::Result<Client> {
        let transport = if arguments.unary {
            Transport::Unary
        } else {
            Transport::Streams
        };
        let options = Options {
            transport,
            ..Options::default()
        };
        Ok(Client::with_options(
            contexts.context(&arguments.who)?,
            options,
        )?)
    };
    let shared = connect()?;
    let options = local_reads::Options {
        node: arguments.node.clone(),
        clients: arguments.clients,
        reads: arguments.reads,
        within: Duration::from_secs(60),
        seed: 1,
    };
    let client_of = |_| {
        if arguments.shared {
            Ok(shared.clone())
        } else {
            connect()
        }
    };
    let measured = local_reads::measure(&options, Arc::new(pins), client_of).await?;
    #[expect(clippy::print_stdout, reason = "the result of the command")]
    {
        println!(
            "p50 {} us, p99 {} us, {:.0} a second, {} failed",
            measured.p50_us, measured.p99_us, measured.reads_per_second, measured.failed
        );
    }
    if let Some(failure) = measured.failure {
        anyhow::bail!("a read failed: {failure}");
    }
    Ok(())
}
