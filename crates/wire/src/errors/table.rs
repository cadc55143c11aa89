//! One row for each public error code. Numbers and names are never reused.

use tonic::Code as Grpc;

/// The kinds of error that a caller must tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The request itself is at fault; sending it again gives the same answer.
    Request,
    /// The caller is not known, or may not do this.
    Denied,
    /// The registry decided "no". The decision is replicated and is the same on every retry with the same key.
    Rejection,
    /// Not possible now; try again, with the same idempotency key.
    Unavailable,
    /// The node is at fault and stops or has stopped; another node may serve.
    Fault,
}

/// What is known about a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The code itself.
    pub code: Code,
    /// 101 to 599; the hundreds are the group.
    pub number: u16,
    /// `BNY-` and the number with four digits.
    pub label: &'static str,
    /// The name that programs compare.
    pub name: &'static str,
    /// The kind that decides how a caller goes on.
    pub kind: Kind,
    /// Status code over gRPC. A rejection is an outcome and travels with status OK; the code here is for
    /// edges that have no outcome to put it in.
    pub grpc: Grpc,
    /// Status code over HTTP.
    pub http: u16,
    /// What it means, in a few words.
    pub title: &'static str,
    /// What to do next, one sentence.
    pub next: &'static str,
}

/// Writes the enum, the list of all codes and the rows from one table.
macro_rules! codes {
    ($($code:ident $number:literal $label:literal $name:literal $kind:ident $grpc:ident $http:literal
        $title:literal => $next:literal;)+) => {
        /// A public error code.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = concat!($label, ": ", $title, ".")] $code,)+
        }

        impl Code {
            /// Every code, in the order of the numbers.
            pub const ALL: &'static [Self] = &[$(Self::$code,)+];

            /// What is known about this code.
            #[must_use]
            pub fn row(self) -> &'static Row {
                match self {
                    $(Self::$code => {
                        const ROW: Row = Row {
                            code: Code::$code,
                            number: $number,
                            label: $label,
                            name: $name,
                            kind: Kind::$kind,
                            grpc: Grpc::$grpc,
                            http: $http,
                            title: $title,
                            next: $next,
                        };
                        &ROW
                    })+
                }
            }
        }
    };
}

codes! {
    InvalidFields 101 "BNY-0101" "INVALID_FIELDS" Request InvalidArgument 400
        "fields of the request are at fault" => "Correct the fields that the answer lists and send it again.";
    IdempotencyKeyInvalid 102 "BNY-0102" "IDEMPOTENCY_KEY_INVALID" Request InvalidArgument 400
        "the idempotency key is missing or no UUID of version 7" => "Send a UUIDv7 as the key, and the same one on every retry.";
    BatchSize 103 "BNY-0103" "BATCH_SIZE" Request InvalidArgument 400
        "a batch holds no command, or more than the bound" => "Send 1 to 1000 commands in a batch.";
    MessageTooLarge 104 "BNY-0104" "MESSAGE_TOO_LARGE" Request OutOfRange 413
        "the message is larger than the node accepts" => "Split it into smaller batches.";
    ConsistencyNotServed 105 "BNY-0105" "CONSISTENCY_NOT_SERVED" Request Unimplemented 501
        "this node does not serve the consistency level asked for" => "Ask for `local`, or ask a node that serves the level.";
    CommandMissing 106 "BNY-0106" "COMMAND_MISSING" Request InvalidArgument 400
        "the submission holds no command, or one that this version does not know" => "Send one of the commands of banyan.v1, or upgrade the node.";
    QueryIncomplete 107 "BNY-0107" "QUERY_INCOMPLETE" Request InvalidArgument 400
        "the query holds too little to search by" => "Give a number, or a full name together with a birth date.";
    KeyTwiceInBatch 108 "BNY-0108" "KEY_TWICE_IN_BATCH" Request InvalidArgument 400
        "two commands of one batch carry the same idempotency key" => "Give every command its own key.";
    MemberUnknown 109 "BNY-0109" "MEMBER_UNKNOWN" Request InvalidArgument 400
        "the cluster has no member with this node id" => "Look at `banyan cluster status` for the ids of the members.";
    MemberNotVoter 110 "BNY-0110" "MEMBER_NOT_VOTER" Request FailedPrecondition 409
        "the member is a learner and cannot lead" => "Name a voter, or none and let the cluster choose.";
    MethodUnknown 111 "BNY-0111" "METHOD_UNKNOWN" Request Unimplemented 404
        "the node does not serve this method" => "Check the address and that client and node are of versions that fit.";

    TokenMalformed 112 "BNY-0112" "TOKEN_MALFORMED" Request InvalidArgument 400
        "the token is not one of this registry" => "Send a token as an answer gave it, unchanged, or none.";
    TokenOtherHistory 113 "BNY-0113" "TOKEN_OTHER_HISTORY" Request FailedPrecondition 409
        "the token is of another cluster, or of another incarnation of this one" => "Drop the token and read again; it says nothing about this cluster.";
    TokenAhead 114 "BNY-0114" "TOKEN_AHEAD" Request FailedPrecondition 409
        "the token is ahead of all that the cluster has committed" => "Check where the token comes from; this cluster never gave it out.";
    CursorExpired 115 "BNY-0115" "CURSOR_EXPIRED" Request FailedPrecondition 410
        "the node does not hold the scan that the cursor goes on with" => "Begin the scan again without a cursor; its pages are then of a newer state.";
    MembershipMismatch 116 "BNY-0116" "MEMBERSHIP_MISMATCH" Request FailedPrecondition 409
        "the change does not fit the membership as it is" => "Look at `banyan cluster status`; the answer says which node and why.";
    SurvivalAtRisk 117 "BNY-0117" "SURVIVAL_AT_RISK" Request FailedPrecondition 409
        "the change would leave the cluster without its survival goal, or without a majority" => "Bring the voters back first, or add one before one goes.";

    IdentityMissing 201 "BNY-0201" "IDENTITY_MISSING" Denied Unauthenticated 401
        "the certificate does not carry exactly one Banyan identity" => "Use a certificate made by `banyan pki`, or with one banyan:// URI.";
    IdentityOtherCluster 202 "BNY-0202" "IDENTITY_OTHER_CLUSTER" Denied Unauthenticated 401
        "the identity belongs to another cluster" => "Use the context of this cluster.";
    AuthorityMismatch 203 "BNY-0203" "AUTHORITY_MISMATCH" Denied Unauthenticated 401
        "the authority that signed the certificate may not vouch for this kind of identity" => "Have the certificate issued by the authority of its kind.";
    NotAuthorised 204 "BNY-0204" "NOT_AUTHORISED" Denied PermissionDenied 403
        "policy does not allow this actor to do this" => "Ask an actor whose role and area cover it.";
    OperatorOnly 205 "BNY-0205" "OPERATOR_ONLY" Denied PermissionDenied 403
        "the method is for operators" => "Use an operator's context.";
    ForwarderNotTrusted 206 "BNY-0206" "FORWARDER_NOT_TRUSTED" Denied PermissionDenied 403
        "the forwarding node may not speak for this actor" => "Send the request to the leader itself.";
    PeerNotVoter 207 "BNY-0207" "PEER_NOT_VOTER" Denied PermissionDenied 403
        "the peer is not a current voter and may not vote or append" => "Check the node's certificate and its place in the membership.";
    PeerIdentityMismatch 208 "BNY-0208" "PEER_IDENTITY_MISMATCH" Denied PermissionDenied 403
        "the peer's message names another node than its certificate" => "Give the node the certificate made for it.";

    PinAlreadyRegistered 301 "BNY-0301" "PIN_ALREADY_REGISTERED" Rejection AlreadyExists 409
        "a person is already registered under this number" => "Look the person up and correct that record instead.";
    CmndAlreadyRegistered 302 "BNY-0302" "CMND_ALREADY_REGISTERED" Rejection AlreadyExists 409
        "a person is already registered under this 9-digit card number" => "Look the person up by card number; correct that record, or the number on the form.";
    FormAlreadyRegistered 303 "BNY-0303" "FORM_ALREADY_REGISTERED" Rejection AlreadyExists 409
        "this document of this office has already been entered" => "Look up the person whom it registered; a second form needs its own number.";
    PinContradictsRecord 304 "BNY-0304" "PIN_CONTRADICTS_RECORD" Rejection FailedPrecondition 422
        "the number says another birth year, sex or place than the record" => "Compare form and number; register without a number if the number is wrong.";
    PersonNotFound 305 "BNY-0305" "PERSON_NOT_FOUND" Rejection NotFound 404
        "no person is registered under this number" => "Check the number, or find the person by name and birth date.";
    PersonAlreadyDeceased 306 "BNY-0306" "PERSON_ALREADY_DECEASED" Rejection FailedPrecondition 409
        "a death or disappearance is already recorded" => "Read the record; correct it if the recorded death is wrong.";
    DeathBeforeBirth 307 "BNY-0307" "DEATH_BEFORE_BIRTH" Rejection FailedPrecondition 422
        "the date of death lies before the date of birth" => "Check both dates against the document.";
    DateInFuture 308 "BNY-0308" "DATE_IN_FUTURE" Rejection FailedPrecondition 422
        "a date lies after the day of the decision" => "Check the date that the answer names.";
    VersionConflict 309 "BNY-0309" "VERSION_CONFLICT" Rejection Aborted 409
        "the record has changed since it was read" => "Read the record again and repeat the change with its present version.";
    PinReestablishmentRequired 310 "BNY-0310" "PIN_REESTABLISHMENT_REQUIRED" Rejection FailedPrecondition 422
        "the change needs a new number" => "Have the number re-established; a plain correction may not change what the number says.";
    BirthPlaceUnknown 311 "BNY-0311" "BIRTH_PLACE_UNKNOWN" Rejection FailedPrecondition 422
        "no number can be made from the place of birth registration and the birth year" => "Give the province of the birth registration by its code.";
    BucketExhausted 312 "BNY-0312" "BUCKET_EXHAUSTED" Rejection ResourceExhausted 422
        "all numbers of this province, sex and year are given out" => "Tell the centre: a bucket holds a million numbers and this one is full.";
    IdempotencyKeyReused 313 "BNY-0313" "IDEMPOTENCY_KEY_REUSED" Rejection AlreadyExists 409
        "the key was used before for another command" => "Send the command with a new key.";
    NotAllowedAtDecision 314 "BNY-0314" "NOT_ALLOWED_AT_DECISION" Rejection PermissionDenied 403
        "policy refused the actor when the command was decided" => "Ask an actor whose role and area cover the record as it stands.";
    LegalBasisMismatch 315 "BNY-0315" "LEGAL_BASIS_MISMATCH" Rejection FailedPrecondition 422
        "the legal basis does not carry this command" => "Name a legal basis that carries the command; its error page lists them.";
    DocumentMismatch 316 "BNY-0316" "DOCUMENT_MISMATCH" Rejection FailedPrecondition 422
        "the source document does not carry the death or disappearance" => "Enter it from a document that does; the error page lists them.";
    KeyExpired 317 "BNY-0317" "KEY_EXPIRED" Rejection FailedPrecondition 409
        "the idempotency key is older than 30 days" => "Look in the registry whether the first try took effect; if not, send it with a new key.";
    KeyAhead 318 "BNY-0318" "KEY_AHEAD" Rejection FailedPrecondition 409
        "the idempotency key is of a time more than 5 minutes ahead" => "Set the client's clock and send the command with a new key.";

    NotLeader 401 "BNY-0401" "NOT_LEADER" Unavailable Unavailable 503
        "another node leads" => "Go to the endpoint that the answer names, with the same key.";
    NoLeader 402 "BNY-0402" "NO_LEADER" Unavailable Unavailable 503
        "no leader is known at the moment" => "Wait as long as the answer says and try again with the same key.";
    NoQuorum 403 "BNY-0403" "NO_QUORUM" Unavailable Unavailable 503
        "the leader does not reach a majority of voters" => "Try again with the same key; an operator looks at `banyan cluster status`.";
    Overloaded 404 "BNY-0404" "OVERLOADED" Unavailable ResourceExhausted 429
        "the node has as much work as it can hold" => "Wait as long as the answer says and try again with the same key.";
    OutcomeUnknown 405 "BNY-0405" "OUTCOME_UNKNOWN" Unavailable DeadlineExceeded 504
        "the command was proposed and its outcome is not known yet" => "Send it again with the same key: the answer is the first outcome.";
    DeadlineExceeded 406 "BNY-0406" "DEADLINE_EXCEEDED" Unavailable DeadlineExceeded 504
        "the time ran out before anything was proposed" => "Try again with more time.";
    ShuttingDown 407 "BNY-0407" "SHUTTING_DOWN" Unavailable Unavailable 503
        "the node is stopping" => "Go to another node, with the same key.";
    NotFormed 408 "BNY-0408" "NOT_FORMED" Unavailable Unavailable 503
        "the cluster has not been formed, or this node is not part of it yet" => "Have an operator run `banyan cluster up`, then try again.";
    TooStale 409 "BNY-0409" "TOO_STALE" Unavailable Unavailable 503
        "the node is, or may be, further behind than the read allows" => "Wait as long as the answer says, ask another node, or allow more staleness.";
    StateReplaced 410 "BNY-0410" "STATE_REPLACED" Unavailable Unavailable 503
        "the node is installing a snapshot and cannot read" => "Ask another node, or wait and try again.";
    TransferFailed 411 "BNY-0411" "TRANSFER_FAILED" Unavailable Unavailable 503
        "leadership was not handed over in time" => "Look at `banyan cluster status`, then try again or name another voter.";
    JournalFull 412 "BNY-0412" "JOURNAL_FULL" Unavailable Unavailable 503
        "the node's journal of access records is full" => "Ask another node; an operator gives this node's journal more room.";
    KeysFull 415 "BNY-0415" "KEYS_FULL" Unavailable ResourceExhausted 503
        "the registry keeps as many idempotency keys as it may" => "Try again later with the same key; keys expire 30 days after they were made.";
    ClockSkewed 416 "BNY-0416" "CLOCK_SKEWED" Unavailable Unavailable 503
        "the leader's clock is too far from other voters' clocks" => "Try again with the same key; an operator sets the clocks of the voters.";
    MembersNotChanged 417 "BNY-0417" "MEMBERS_NOT_CHANGED" Unavailable Unavailable 503
        "the membership could not be changed now, or not in time" => "Look at `banyan cluster status`, then ask for the same change again.";

    NodeFault 501 "BNY-0501" "NODE_FAULT" Fault Internal 500
        "the node met a fault and stops" => "Go to another node; an operator reads this node's log.";
    StorageFault 502 "BNY-0502" "STORAGE_FAULT" Fault Internal 500
        "the node's disk refused a read or a write" => "Go to another node; an operator checks disk and space of this one.";
    DataCorrupt 503 "BNY-0503" "DATA_CORRUPT" Fault DataLoss 500
        "stored data does not decode or fails its checksum" => "Go to another node; an operator replaces this one.";
    CommandVersionUnknown 504 "BNY-0504" "COMMAND_VERSION_UNKNOWN" Fault Internal 500
        "the log holds a command of a version that this node does not know" => "An operator upgrades the node; it continues where it stopped.";
}
