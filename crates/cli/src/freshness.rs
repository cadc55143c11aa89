//! How fresh an answer must be: the arguments of every read, and tokens as text.

use std::time::Duration;

use banyan_wire::v1;
use banyan_wire::v1::consistency::Level;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::{Args, ValueEnum};

use crate::failure::Failure;
use crate::input::Faults;

/// What a read may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LevelName {
    /// What the node has, within --max-staleness where that is given
    Local,
    /// Not older than --token
    Session,
    /// Everything that was acknowledged before the read
    Linearizable,
}

/// How fresh the answer must be.
#[derive(Debug, Args)]
pub(crate) struct Freshness {
    /// How fresh the answer must be; local, or session where a token is given, by default
    #[arg(long, value_name = "LEVEL", value_enum)]
    consistency: Option<LevelName>,
    /// Refuse an answer that may be older than this, for instance 500ms or 2s
    #[arg(long, value_name = "TIME")]
    max_staleness: Option<humantime::Duration>,
    /// Token of an earlier answer: this one will not be older
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// Where this node cannot be so fresh, let it ask the leader, instead of refusing
    #[arg(long)]
    forward: bool,
}

impl Freshness {
    /// The arguments as the registry takes them.
    ///
    /// # Errors
    /// Arguments that contradict each other, or a token that is none, all at once.
    pub(crate) fn consistency(&self) -> Result<v1::Consistency, Failure> {
        let mut faults = Faults::default();
        let level = self.consistency.unwrap_or(if self.token.is_some() {
            LevelName::Session
        } else {
            LevelName::Local
        });
        if self.max_staleness.is_some() && level != LevelName::Local {
            faults.add("--max-staleness", "goes with --consistency local only");
        }
        if self.token.is_some() && level != LevelName::Session {
            faults.add("--token", "goes with --consistency session only");
        }
        let bound = self.max_staleness.map(Duration::from);
        let max_staleness_ms = match bound {
            None => 0,
            Some(bound) if bound < Duration::from_millis(1) => {
                faults.add("--max-staleness", "must be at least 1ms");
                0
            }
            Some(bound) => u64::try_from(bound.as_millis()).unwrap_or(u64::MAX),
        };
        let token = match (&self.token, level) {
            (Some(text), _) => from_text(text).unwrap_or_else(|| {
                faults.add("--token", "is not the token of an answer");
                Vec::new()
            }),
            (None, LevelName::Session) => {
                faults.add("--token", "is needed for --consistency session");
                Vec::new()
            }
            (None, _) => Vec::new(),
        };
        if self.forward && level == LevelName::Local && self.max_staleness.is_none() {
            faults.add(
                "--forward",
                "needs a --max-staleness, a --token or --consistency linearizable",
            );
        }
        faults.check()?;
        Ok(v1::Consistency {
            forward: self.forward,
            level: Some(match level {
                LevelName::Local => Level::Local(v1::Local { max_staleness_ms }),
                LevelName::Session => Level::Session(v1::Session {
                    token: token.into(),
                }),
                LevelName::Linearizable => Level::Linearizable(v1::Linearizable {}),
            }),
        })
    }
}

/// A token as a word for a command line or JSON; none for an answer without one.
pub(crate) fn to_text(token: &[u8]) -> Option<String> {
    (!token.is_empty()).then(|| URL_SAFE_NO_PAD.encode(token))
}

fn from_text(text: &str) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(text.trim()).ok()?;
    (!bytes.is_empty()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::exit::Exit;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        freshness: Freshness,
    }

    fn level(words: &[&str]) -> Result<Level, Failure> {
        let line = Line::try_parse_from([&["x"], words].concat()).unwrap();
        Ok(line.freshness.consistency()?.level.unwrap())
    }

    #[test]
    fn levels_are_read_and_a_token_means_session() {
        let local = |max_staleness_ms| Level::Local(v1::Local { max_staleness_ms });
        let text = to_text(b"token").unwrap();
        assert_eq!(level(&[]).unwrap(), local(0));
        assert_eq!(level(&["--max-staleness", "1s"]).unwrap(), local(1_000));
        assert_eq!(
            level(&["--consistency", "linearizable"]).unwrap(),
            Level::Linearizable(v1::Linearizable {})
        );
        let token = b"token".to_vec().into();
        assert_eq!(
            level(&["--token", &text]).unwrap(),
            Level::Session(v1::Session { token })
        );
    }

    #[test]
    fn what_contradicts_is_refused_all_at_once() {
        let faults = |words: &[&str]| {
            let failure = level(words).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage);
            failure.faults.len()
        };
        assert_eq!(faults(&["--consistency", "session"]), 1);
        assert_eq!(faults(&["--token", "?"]), 1);
        assert_eq!(faults(&["--forward"]), 1);
        assert_eq!(faults(&["--max-staleness", "10us"]), 1);
        let both = ["--consistency", "linearizable", "--token", "YQ"];
        assert_eq!(faults(&both), 1);
        let all = [
            "--consistency",
            "linearizable",
            "--token",
            "!",
            "--max-staleness",
            "1s",
        ];
        assert_eq!(faults(&all), 3);
    }
}
