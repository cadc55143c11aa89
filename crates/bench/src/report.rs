//! `banyan-bench report`: `docs/performance.md` and its plots, out of `peers.json` and nothing else.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;

use crate::plot;
use crate::ratios::{Goal, KEYS, Key};
use crate::results::{Results, Run};
use crate::rows::{Row, System};

/// The name of the page, and of the folder of its plots beside it.
const PAGE: &str = "performance.md";
const PLOTS: &str = "performance";

/// What to write.
#[derive(Args)]
pub(crate) struct Report {
    /// Results of `banyan-bench peers`
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// Folder that gets performance.md and performance/
    #[arg(long, value_name = "FOLDER")]
    to: PathBuf,
    /// Take the results of a smoke run too; the page says so
    #[arg(long)]
    draft: bool,
}

/// Writes the page and the plots.
///
/// # Errors
/// Results of a smoke run without `--draft`, and what the file system says.
pub(crate) fn run(arguments: &Report) -> anyhow::Result<()> {
    let results = Results::read(&arguments.from)?;
    if results.quick && !arguments.draft {
        bail!(
            "these are the results of a smoke run: no figures for a document; --draft writes it all the same"
        );
    }
    let plots = arguments.to.join(PLOTS);
    std::fs::create_dir_all(&plots).with_context(|| format!("cannot make {}", plots.display()))?;
    let drawn = plot::draw(&results, &plots)?;
    write(&arguments.to.join(PAGE), &page(&results, &drawn))
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// The page. `plots` are names of files in the folder of plots, with their titles.
fn page(results: &Results, plots: &[(String, String)]) -> String {
    let mut text = String::from("# Performance\n\n");
    if results.quick {
        text.push_str(
            "**A smoke run: these figures show that everything runs, and nothing else.**\n\n",
        );
    }
    text.push_str(HEAD);
    goals(&mut text, results);
    for (file, title) in plots {
        let _ = write!(text, "\n![{title}]({PLOTS}/{file})\n");
    }
    text.push_str("\n## Figures\n\nMedian over the alternations, least and greatest in brackets. Latencies in milliseconds.\n\n");
    figures(&mut text, results);
    conditions(&mut text, results);
    text.push_str(FAIRNESS);
    text
}

fn goals(text: &mut String, results: &Results) {
    text.push_str("| ratio | measured | range | goal | |\n|---|---|---|---|---|\n");
    for key in KEYS {
        let (measured, range) = match results.spreads.get(key.name) {
            Some(spread) => (
                format!("{:.2}", spread.median),
                format!("{:.2} to {:.2}", spread.least, spread.greatest),
            ),
            None => ("not measured".to_owned(), String::new()),
        };
        let goal = match key.goal {
            Goal::AtLeast(bound) => format!("≥ {bound}"),
            Goal::AtMost(bound) => format!("≤ {bound}"),
        };
        let verdict = verdict(key, results);
        let _ = writeln!(
            text,
            "| `{}` | {measured} | {range} | {goal} | {verdict} |",
            key.name
        );
    }
}

/// Met or not, and by how much; or why it is not measured.
fn verdict(key: &Key, results: &Results) -> String {
    let value = results.ratios.get(key.name).copied().flatten();
    let Some(value) = value else {
        let reason = results.missing.get(key.name);
        return reason.map_or_else(
            || "not in the results".to_owned(),
            |text| text.replace('|', "/"),
        );
    };
    let off = (value / key.goal.bound() - 1.0) * 100.0;
    let side = if off < 0.0 { "below" } else { "above" };
    let met = if key.goal.is_met(value) {
        "met"
    } else {
        "**not met**"
    };
    format!("{met}, {:.0} % {side} the bound", off.abs())
}

fn figures(text: &mut String, results: &Results) {
    text.push_str("| row | system | a second | p50 | p90 | p99 | p99.9 | max | errors | stop |\n");
    text.push_str("|---|---|---|---|---|---|---|---|---|---|\n");
    for (row, system, runs) in grouped(&results.runs) {
        let milliseconds = |of: fn(&Run) -> u64| {
            let values: Vec<f64> = runs.iter().map(|run| of(run) as f64 / 1000.0).collect();
            middle(&values, 2)
        };
        let rates: Vec<f64> = runs.iter().map(|run| run.figures.per_second).collect();
        let stops: Vec<f64> = runs.iter().filter_map(|run| run.figures.stop_ms).collect();
        let errors: u64 = runs.iter().map(|run| run.figures.errors).sum();
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {errors} | {} |",
            row.title(),
            system.title(),
            middle(&rates, 0),
            milliseconds(|run| run.figures.p50_us),
            milliseconds(|run| run.figures.p90_us),
            milliseconds(|run| run.figures.p99_us),
            milliseconds(|run| run.figures.p999_us),
            milliseconds(|run| run.figures.max_us),
            middle(&stops, 0),
        );
    }
}

/// The runs of each row and system, in the order of the rows.
pub(crate) fn grouped(runs: &[Run]) -> Vec<(Row, System, Vec<&Run>)> {
    let mut groups: Vec<(Row, System, Vec<&Run>)> = Vec::new();
    for run in runs {
        match groups
            .iter_mut()
            .find(|(row, system, _)| (*row, *system) == (run.row, run.system))
        {
            Some((_, _, group)) => group.push(run),
            None => groups.push((run.row, run.system, vec![run])),
        }
    }
    groups.sort_by_key(|(row, system, _)| (*row, *system));
    groups
}

/// The median with the range behind it; nothing for nothing.
fn middle(values: &[f64], places: usize) -> String {
    let Some(median) = crate::ratios::median(values) else {
        return String::new();
    };
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let greatest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("{median:.places$} ({least:.places$} to {greatest:.places$})")
}

fn conditions(text: &mut String, results: &Results) {
    let machine = &results.machine;
    let _ = write!(
        text,
        "\n## Conditions\n\n- {} cores ({}), {} MiB of memory, Linux {}; appending 4 KiB and `fdatasync` took {} µs in the median; load \
         {:.2} before the start.\n- The run took {:.0} s and ended {}.\n",
        machine.cores,
        machine.processor,
        machine.memory_mib,
        machine.kernel,
        machine.fdatasync_median_us,
        machine.load_before,
        results.seconds,
        results.finished,
    );
    let versions: Vec<String> = results
        .versions
        .iter()
        .map(|(name, version)| format!("{name} {version}"))
        .collect();
    let _ = writeln!(text, "- Versions: {}.", versions.join(", "));
    for (topic, setting) in &results.settings {
        let _ = writeln!(text, "- `{topic}`: {setting}.");
    }
}

const HEAD: &str = "\
Written by `make bench` from `target/bench/peers.json`; not edited by hand. etcd and PostgreSQL run on the same machine in the same run, in
turn with this cluster, and get the same load from the same generator.

## Goals

Each ratio is taken within an alternation, between runs that follow each other, and the median of the alternations stands here. Rows named
`registry` are registrations and look-ups through the public API; rows named `raw` are one 600-byte value by key. The two are never mixed.
Ratios of throughput and of time are ours over theirs.

";

const FAIRNESS: &str = "
## How to read it

- All members of all systems, the load generator and the disk share the machine. Figures are those of this machine at that time; only
  ratios within an alternation say something about the systems.
- A row of streams is compared with the peer's unary calls, since that is what its clients use; it says what a user of our library gets
  against a user of theirs, and not that a unary call is faster.
- A client has a connection of its own in every system, and one call under way, unless the row says otherwise. Making a person
  and encoding it is not in the latency, and costs the generator the same for each system.
- In a closed loop a stall hides calls that would have been sent. The rows of an open loop count from the moment when a call was due.
- PostgreSQL registers in one transaction: the person with unique numbers and an index of name and birth date, the version, the outcome
  under the key, an event, an audit record; each record is stored once. Its reads go to two hot standbys, which do not say how
  stale they are.
- etcd puts the encoded record as one value; it keeps no index, no history by person and no outcome. Its clients are spread over the
  members, which forward writes to the leader. Ours go to the leader, as the library does.
- Every read of ours is written to a synced journal of access records before it is answered; the others keep none.
- Rows named `raw` put one 600-byte value by key through the same edge, consensus and storage, without the registry's work: no form is read, no
  rule judged, no index, history, event, audit record or outcome kept. Production nodes have no such service: a second cluster is
  started for these rows, of nodes that have it (ADR 0027). They say what the machinery carries, and not what a user of the registry gets.
- A row with 4 learners, where there is one, was asked for apart: learners of ours and asynchronous standbys of PostgreSQL, and one learner of
  etcd, which permits no more, all real and all on this machine.
- Simulated learners acknowledge what the leader sends and store nothing; see `crates/bench/src/peers/learners.rs`.
";

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::figures::Figures;

    fn results() -> Results {
        let run = |system, alternation, per_second| Run {
            row: Row::RegistryWrites256,
            system,
            alternation,
            figures: Figures {
                per_second,
                calls: 100,
                p50_us: 1500,
                ..Figures::default()
            },
        };
        let mut results = Results {
            quick: true,
            runs: vec![
                run(System::Etcd, 1, 100.0),
                run(System::Banyan, 1, 150.0),
                run(System::Etcd, 2, 100.0),
                run(System::Banyan, 2, 170.0),
            ],
            ..Results::default()
        };
        results.settle(&BTreeMap::from([(Row::RawBatch, "no | seam".to_owned())]));
        results
    }

    #[test]
    fn page_shows_what_is_missing_and_by_how_much_a_goal_is_missed() {
        let text = page(&results(), &[]);
        assert!(text.contains("A smoke run"));
        let line = |name: &str| {
            let start = format!("| `{name}` |");
            text.lines()
                .find(|line| line.starts_with(&start))
                .unwrap()
                .to_owned()
        };
        // (1.5 + 1.7) / 2 against 2: a fifth short.
        let missed = line("registry_writes_256_to_etcd");
        assert!(
            missed.contains("| 1.60 | 1.50 to 1.70 | ≥ 2 | **not met**, 20 % below"),
            "{missed}"
        );
        let null = line("raw_batch_to_etcd");
        assert!(
            null.contains("| not measured |") && null.contains("no / seam"),
            "{null}"
        );
        for key in KEYS {
            line(key.name);
        }
    }

    #[test]
    fn report_survives_the_file_and_draws() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("peers.json");
        results().write(&file).unwrap();
        assert_eq!(Results::read(&file).unwrap(), results());
        let mut arguments = Report {
            from: file,
            to: folder.path().to_owned(),
            draft: false,
        };
        assert!(run(&arguments).is_err(), "a smoke run is no document");
        arguments.draft = true;
        run(&arguments).unwrap();
        let text = std::fs::read_to_string(folder.path().join(PAGE)).unwrap();
        for word in text.split(['(', ')']).filter(|word| word.ends_with(".svg")) {
            let drawn = std::fs::read_to_string(folder.path().join(word)).unwrap();
            assert!(drawn.contains("<svg"), "{word}");
        }
        assert!(text.contains(".svg"));
    }
}
