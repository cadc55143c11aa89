//! Tokens: a position that a client carries from one answer to its next read, at whatever node.
//!
//! Opaque to clients. A token names its cluster and the cluster's recovery incarnation, so that one from before a recovery, or from another
//! cluster, is refused and not compared with positions that mean something else. It holds nothing secret and proves nothing: a forged one can
//! only make its bearer wait, or be refused.

use banyan_domain::Position;
use bytes::Bytes;
use prost::Message as _;

use crate::internal_v1::ReadToken;

/// Tokens longer than this are refused unread. One is some 30 bytes and the cluster's name.
pub const TOKEN_BYTES_MAX: usize = 256;

/// A position of one history of one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The cluster's name.
    pub cluster: String,
    /// Counts the recoveries after a lost quorum; from 1.
    pub incarnation: u64,
    /// Everything up to here must be seen.
    pub position: Position,
}

/// Why a token is not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// It is not one.
    #[error("the bytes are not a token of this registry")]
    Malformed,
    /// It is of another cluster.
    #[error("the token is of another cluster")]
    OtherCluster,
    /// It is from before, or after, a recovery of this cluster.
    #[error("the token is of another incarnation of this cluster")]
    OtherIncarnation,
}

impl Token {
    /// The token's bytes.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        ReadToken {
            cluster: self.cluster.clone(),
            incarnation: self.incarnation,
            term: self.position.term,
            index: self.position.index,
        }
        .encode_to_vec()
        .into()
    }

    /// Reads a token.
    ///
    /// # Errors
    /// [`TokenFault::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, TokenFault> {
        if bytes.is_empty() || bytes.len() > TOKEN_BYTES_MAX {
            return Err(TokenFault::Malformed);
        }
        let token = ReadToken::decode(bytes).map_err(|_| TokenFault::Malformed)?;
        if token.cluster.is_empty() || token.incarnation == 0 || token.index == 0 {
            return Err(TokenFault::Malformed);
        }
        Ok(Self {
            cluster: token.cluster,
            incarnation: token.incarnation,
            position: Position {
                term: token.term,
                index: token.index,
            },
        })
    }

    /// Whether the token means something here.
    ///
    /// # Errors
    /// [`TokenFault::OtherCluster`], [`TokenFault::OtherIncarnation`].
    pub fn check(&self, cluster: &str, incarnation: u64) -> Result<(), TokenFault> {
        if self.cluster != cluster {
            return Err(TokenFault::OtherCluster);
        }
        if self.incarnation != incarnation {
            return Err(TokenFault::OtherIncarnation);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> Token {
        Token {
            cluster: "banyan-local".to_owned(),
            incarnation: 1,
            position: Position { term: 3, index: 17 },
        }
    }

    #[test]
    fn a_token_survives_its_bytes() {
        assert_eq!(Token::decode(&token().encode()), Ok(token()));
    }

    #[test]
    fn bytes_that_are_no_token_are_refused() {
        let long = vec![0; TOKEN_BYTES_MAX + 1];
        for bytes in [&b""[..], b"\xff\xff", b"hello", &long] {
            assert_eq!(Token::decode(bytes), Err(TokenFault::Malformed));
        }
        let cut = token().encode();
        for end in 0..cut.len() {
            let _ = Token::decode(&cut[..end]);
        }
    }

    #[test]
    fn a_token_of_another_history_is_told() {
        assert_eq!(token().check("other", 1), Err(TokenFault::OtherCluster));
        assert_eq!(
            token().check("banyan-local", 2),
            Err(TokenFault::OtherIncarnation)
        );
        assert_eq!(token().check("banyan-local", 1), Ok(()));
    }
}
