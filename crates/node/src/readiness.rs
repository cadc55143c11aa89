//! Whether the node is alive, and whether it serves.
//!
//! Alive: no fault has stopped it. Ready: it has applied a membership that it belongs to, and it is not stopping. Whether
//! a leader is reachable does not count: a province that is cut off still answers local reads, and says how old they are.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// Says why the node does not serve, or `None`.
type Probe = Box<dyn Fn() -> Option<&'static str> + Send + Sync>;

/// Shared by the edges and the parts that know.
#[derive(Default)]
pub struct Readiness {
    probe: OnceLock<Probe>,
    stopping: AtomicBool,
    fault: OnceLock<&'static str>,
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Readiness").field(&self.ready()).finish()
    }
}

impl Readiness {
    /// `Err` with the reason once a fault has stopped the node.
    ///
    /// # Errors
    /// What kind of fault it was.
    pub fn alive(&self) -> Result<(), &'static str> {
        self.fault.get().map_or(Ok(()), |fault| Err(*fault))
    }

    /// `Err` with the reason while the node does not serve.
    ///
    /// # Errors
    /// Why not.
    pub fn ready(&self) -> Result<(), &'static str> {
        self.alive()?;
        if self.stopping.load(Ordering::Acquire) {
            return Err("stopping");
        }
        let probe = self.probe.get().ok_or("starting")?;
        probe().map_or(Ok(()), Err)
    }

    /// From now on `probe` says why the node does not serve; it is asked each time. The first one counts.
    pub fn set_probe(&self, probe: impl Fn() -> Option<&'static str> + Send + Sync + 'static) {
        let _ = self.probe.set(Box::new(probe));
    }

    /// The node begins to stop, for good.
    pub fn set_stopping(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// A fault has stopped the node; the first one counts.
    pub fn set_fault(&self, kind: &'static str) {
        let _ = self.fault.set(kind);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopping_node_never_becomes_ready_again() {
        let readiness = Readiness::default();
        assert_eq!(readiness.ready(), Err("starting"));
        readiness.set_probe(|| None);
        assert_eq!(readiness.ready(), Ok(()));
        readiness.set_stopping();
        assert_eq!(readiness.ready(), Err("stopping"));
        assert_eq!(readiness.alive(), Ok(()));
        readiness.set_fault("storage fault");
        assert_eq!(readiness.alive(), Err("storage fault"));
    }
}
