//! Cursors of scans: which node holds the scan, which scan, which page comes next.

use banyan_domain::NodeId;
use bytes::Bytes;
use prost::Message as _;

use crate::internal_v1::ScanCursor;

/// What a client carries from a page of a scan to the next one. Names nobody: where the scan stands is known to the node alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The node that holds the scan.
    pub node: NodeId,
    /// The scan: random, so that nobody guesses another one's.
    pub scan: ScanId,
    /// The page that comes next, from 1.
    pub page: u64,
}

/// A scan held by a node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScanId(pub [u8; 16]);

/// Whoever knows it, and is its principal, can go on with the scan.
impl std::fmt::Debug for ScanId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<scan>")
    }
}

/// The bytes are no cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not the cursor of a scan")]
pub struct CursorFault;

impl Cursor {
    /// Its bytes. Clients take them as they are.
    #[must_use]
    pub fn encode(self) -> Bytes {
        let cursor = ScanCursor {
            node: self.node.get(),
            scan: Bytes::copy_from_slice(&self.scan.0),
            page: self.page,
        };
        cursor.encode_to_vec().into()
    }

    /// Reads what a client sent.
    ///
    /// # Errors
    /// [`CursorFault`].
    pub fn decode(bytes: &[u8]) -> Result<Self, CursorFault> {
        let cursor = ScanCursor::decode(bytes).map_err(|_| CursorFault)?;
        let scan = cursor.scan.as_ref().try_into().map_err(|_| CursorFault)?;
        if cursor.node == 0 || cursor.page == 0 {
            return Err(CursorFault);
        }
        Ok(Self {
            node: NodeId(cursor.node),
            scan: ScanId(scan),
            page: cursor.page,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_and_what_is_none_is_refused() {
        let cursor = Cursor {
            node: NodeId(3),
            scan: ScanId([7; 16]),
            page: 2,
        };
        let bytes = cursor.encode();
        assert_eq!(Cursor::decode(&bytes), Ok(cursor));
        assert!(!format!("{cursor:?}").contains('7'));
        for wrong in [&b""[..], b"\xff", &bytes[..bytes.len() - 1]] {
            assert_eq!(Cursor::decode(wrong), Err(CursorFault));
        }
        for wrong in [
            Cursor { page: 0, ..cursor },
            Cursor {
                node: NodeId(0),
                ..cursor
            },
        ] {
            assert_eq!(Cursor::decode(&wrong.encode()), Err(CursorFault));
        }
    }
}
