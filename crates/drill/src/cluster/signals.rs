//! Signals to the nodes of a local cluster: killed, asked to stop, or stopped for a while and going on where they were.

use nix::sys::signal::Signal;

use super::{ClusterError, LocalCluster};

impl LocalCluster {
    /// Stops a node's process with SIGSTOP: it answers nothing, keeps its connections, and knows of no time that passes.
    ///
    /// # Errors
    /// [`ClusterError::NoNode`], [`ClusterError::NotRunning`], [`ClusterError::Signal`].
    pub fn pause_node(&self, name: &str) -> Result<(), ClusterError> {
        self.signal_running(name, Signal::SIGSTOP)
    }

    /// Lets a node's process go on with SIGCONT.
    ///
    /// # Errors
    /// As [`LocalCluster::pause_node`].
    pub fn resume_node(&self, name: &str) -> Result<(), ClusterError> {
        self.signal_running(name, Signal::SIGCONT)
    }

    /// Only sends SIGKILL to the named nodes, and returns at once: for those who measure from that moment.
    ///
    /// # Errors
    /// As [`LocalCluster::kill`], which is to be called afterwards to reap.
    pub fn send_kill(&self, nodes: &[String]) -> Result<(), ClusterError> {
        nodes
            .iter()
            .try_for_each(|name| self.signal(name, Signal::SIGKILL).map(drop))
    }

    /// A fault that no process felt is none: a test that goes on would show nothing.
    fn signal_running(&self, name: &str, signal: Signal) -> Result<(), ClusterError> {
        if self.signal(name, signal)? {
            return Ok(());
        }
        Err(ClusterError::NotRunning {
            node: name.to_owned(),
        })
    }

    /// Sends a signal to a node of this cluster; one whose process has ended or was never started is left alone: then `false`.
    pub(super) fn signal(&self, name: &str, signal: Signal) -> Result<bool, ClusterError> {
        if self.topology.node(name).is_none() {
            return Err(ClusterError::NoNode {
                name: name.to_owned(),
            });
        }
        self.processes.get(name).map_or(Ok(false), |process| {
            process
                .signal(signal)
                .map_err(|source| ClusterError::Signal {
                    node: name.to_owned(),
                    source,
                })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;
    use std::time::Duration;

    use banyan_topology::Topology;

    use super::super::process::Starter;
    use super::super::{Layout, Lifetime, Stopped};
    use super::*;
    use crate::wait_for;

    const WITHIN: Duration = Duration::from_secs(30);
    /// For processes that end at once when they are asked, on a machine under load.
    const GRACE: Duration = Duration::from_secs(5);

    /// A program that sleeps: signals are all that is asked of it.
    const SLEEPS: &str = "#!/bin/sh\nexec sleep 600\n";

    /// Seven nodes of which none runs yet, with a program of the test's own.
    fn cluster(folder: &Path, program: &str) -> LocalCluster {
        let banyand = folder.join("banyand");
        fs::write(&banyand, program).unwrap();
        fs::set_permissions(&banyand, fs::Permissions::from_mode(0o755)).unwrap();
        let topology = Topology::parse(include_str!("../../../../cluster/local.toml"));
        let topology = topology.unwrap().topology;
        let layout = Layout::new(folder).unwrap();
        for node in topology.nodes() {
            fs::create_dir_all(layout.node(node.name())).unwrap();
        }
        LocalCluster {
            layout,
            topology,
            banyand,
            lifetime: Lifetime::WithStarter,
            starter: Starter::new().unwrap(),
            processes: BTreeMap::new(),
            particular: BTreeMap::new(),
            unformed: BTreeSet::new(),
            simulated: BTreeSet::new(),
            ready_within: WITHIN,
        }
    }

    async fn wait_for_state(cluster: &LocalCluster, name: &str, wanted: &[char]) {
        let pid = cluster.processes[name].mark.pid;
        wait_for::condition("the state of the process", WITHIN, async || {
            let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
            let (_, fields) = text.rsplit_once(") ").unwrap();
            if fields.starts_with(wanted) {
                Ok(())
            } else {
                Err(text)
            }
        })
        .await
        .unwrap();
    }

    fn assert_not_running(result: Result<(), ClusterError>, name: &str) {
        assert!(
            matches!(&result, Err(ClusterError::NotRunning { node }) if node == name),
            "{result:?}"
        );
    }

    #[tokio::test]
    async fn only_a_node_that_runs_is_paused_or_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let mut cluster = cluster(folder.path(), SLEEPS);
        let (name, idle) = ("central-1", "central-2");
        cluster.start_node(name).unwrap();
        cluster.pause_node(name).unwrap();
        wait_for_state(&cluster, name, &['T']).await;
        cluster.resume_node(name).unwrap();
        wait_for_state(&cluster, name, &['R', 'S', 'D']).await;

        // Never started; dead and not reaped; dead and reaped.
        assert_not_running(cluster.pause_node(idle), idle);
        assert_not_running(cluster.resume_node(idle), idle);
        cluster.send_kill(&[name.to_owned()]).unwrap();
        wait_for_state(&cluster, name, &['Z']).await;
        assert_not_running(cluster.pause_node(name), name);
        cluster.kill_node(name).await.unwrap();
        assert_not_running(cluster.resume_node(name), name);
        let unknown = cluster.pause_node("central-9");
        assert!(matches!(unknown, Err(ClusterError::NoNode { .. })));

        // What is dead already is as dead as was asked for.
        let dead = [name.to_owned(), idle.to_owned()];
        cluster.send_kill(&dead).unwrap();
        cluster.kill(&dead).await.unwrap();
        let stopped = cluster.stop_nodes(&dead, WITHIN).await.unwrap();
        assert_eq!(stopped, Stopped::default());
    }

    #[tokio::test]
    async fn stop_tells_of_every_node_how_it_ended() {
        // By the folder of its configuration: one ends in order, one with a code of its own, one by itself, one not at all.
        let program = r#"#!/bin/sh
case "$2" in
*/central-1/*) trap 'exit 0' TERM ;;
*/central-2/*) trap 'exit 10' TERM ;;
*/recovery-1/*) exit 3 ;;
*) trap '' TERM ;;
esac
echo ready >"$2.ready"
while :; do sleep 0.01; done
"#;
        let folder = tempfile::tempdir().unwrap();
        let mut cluster = cluster(folder.path(), program);
        let nodes = ["central-1", "central-2", "recovery-1", "recovery-2"].map(str::to_owned);
        for node in &nodes {
            cluster.start_node(node).unwrap();
        }
        let by_itself = &nodes[2];
        wait_for::condition("what each node does first", WITHIN, async || {
            let ready = |node: &&String| {
                let config = cluster.layout.node_config(node);
                config.with_added_extension("ready").exists()
            };
            let traps = nodes.iter().filter(ready).count();
            let ended = cluster.ended_with(by_itself);
            match (traps, &ended) {
                (3, Some(_)) => Ok(()),
                now => Err(format!("{now:?}")),
            }
        })
        .await
        .unwrap();
        // Two end at once; the grace is for the one that never does.
        let stopped = cluster.stop_nodes(&nodes, GRACE).await.unwrap();
        assert_eq!(stopped.late, ["recovery-2"]);
        let codes: Vec<_> = stopped
            .ended
            .iter()
            .map(|(name, status)| (name.as_str(), status.code()))
            .collect();
        let expected = [("central-1", 0), ("central-2", 10), ("recovery-1", 3)];
        assert_eq!(codes, expected.map(|(name, code)| (name, Some(code))));
        assert_eq!(cluster.running(), Vec::<String>::new());
    }
}
