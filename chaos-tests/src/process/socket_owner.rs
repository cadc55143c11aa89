//! Which process a connection over the loopback interface comes from, by what Linux shows of it (proc(5)).

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};

/// The one of some processes that holds the socket with that local address; `None`: none of them.
pub(super) fn owner(local: SocketAddr, processes: &BTreeMap<String, i32>) -> Option<String> {
    let inode = inode_of(local, &fs::read_to_string("/proc/net/tcp").ok()?)?;
    let wanted = format!("socket:[{inode}]");
    let holds = |process: &i32| {
        let open = fs::read_dir(format!("/proc/{process}/fd"));
        open.into_iter().flatten().flatten().any(|entry| {
            fs::read_link(entry.path()).is_ok_and(|target| target.as_os_str() == wanted.as_str())
        })
    };
    processes
        .iter()
        .find(|(_, process)| holds(process))
        .map(|(name, _)| name.clone())
}

/// The inode of the socket with that local address in a table as of `/proc/net/tcp`.
fn inode_of(local: SocketAddr, table: &str) -> Option<u64> {
    let IpAddr::V4(address) = local.ip() else {
        return None;
    };
    // The address stands there as the machine holds it, the port as the network does.
    let number = u32::from_ne_bytes(address.octets());
    let wanted = format!("{number:08X}:{:04X}", local.port());
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let found = fields.get(1) == Some(&wanted.as_str());
        // Nobody holds a connection that only waits for its end.
        found
            .then(|| fields.get(9)?.parse().ok())
            .flatten()
            .filter(|inode| *inode > 0)
    })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn own_connection_is_found_among_processes() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        let processes = BTreeMap::from([("first".to_owned(), 1), ("own".to_owned(), own)]);
        let local = near.local_addr().unwrap();
        assert_eq!(owner(local, &processes).as_deref(), Some("own"));
        let others = BTreeMap::from([("first".to_owned(), 0)]);
        assert_eq!(owner(local, &others), None);
    }
}
