//! The codec of the public services: it bounds what a request may grow to before a byte of it is decoded.
//!
//! An empty element of a repeated field is two bytes on the wire and a whole struct in memory, so that a message within the
//! bound on bytes may decode to a thousand times its size. So a request of more than [`WALKED_FROM_BYTES`] is first walked over
//! by the descriptor of its type, without allocating, and refused if it holds too many parts. Answers and the messages
//! between nodes are not walked: they come from nodes, and the latter are many.
//!
//! What the walk cannot follow it refuses. It must not leave that to the decoder: prost looks at the length of an outer message only
//! after it has decoded the inner ones, so that a wrong length would hide parts from the walk and not from prost.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::LazyLock;

use banyan_domain::limits::{BATCH_COMMANDS_MAX, HOUSEHOLD_MEMBERS_MAX};
use bytes::Buf;
use prost::encoding::{WireType, decode_key, decode_varint};
use prost::{Message, Name};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

use crate::errors::{self, Code};
use crate::generated::FILE_DESCRIPTOR_SET;

/// Requests up to this size are decoded at once: whatever they hold, it stays below two megabytes.
pub const WALKED_FROM_BYTES: usize = 4 << 10;

/// Elements that one repeated field of a request may have: those of the largest batch.
pub const ELEMENTS_MAX: u32 = 1_000;

/// Messages and elements of repeated fields that a request may hold in all. A batch of 1,000 forms, each with every field and
/// the largest household, has 137,000. Decoded, parts without content take about 25 MB at most.
pub const PARTS_MAX: u32 = 150_000;

/// How deep messages of a request may stand in one another. The deepest today is 9.
pub const DEPTH_MAX: u32 = 64;

/// Parts of a form whose household has no members.
const PARTS_OF_A_FORM: usize = 37;
/// A member and the member's name.
const PARTS_OF_A_MEMBER: usize = 2;

const _: () = assert!(BATCH_COMMANDS_MAX <= ELEMENTS_MAX as usize);
const _: () = assert!(HOUSEHOLD_MEMBERS_MAX <= ELEMENTS_MAX as usize);
const _: () = assert!(
    BATCH_COMMANDS_MAX * (PARTS_OF_A_FORM + PARTS_OF_A_MEMBER * HOUSEHOLD_MEMBERS_MAX)
        <= PARTS_MAX as usize
);

/// Package whose services are open to clients and operators.
const PUBLIC_PACKAGE: &str = "banyan.v1";
/// Repeated fields of one message that are counted apart; further ones share the last counter.
const COUNTERS: usize = 4;

static SHAPES: LazyLock<Shapes> = LazyLock::new(|| {
    let set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET);
    Shapes::of(&set.expect("the build script has written descriptors that decode"))
});

/// `tonic_prost`'s codec behind the bounds of this module.
#[derive(Debug, Clone)]
pub struct BoundedCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for BoundedCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for BoundedCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Name + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = BoundedDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::default().encoder()
    }

    fn decoder(&mut self) -> Self::Decoder {
        BoundedDecoder(ProstDecoder::default())
    }
}

/// `tonic_prost`'s decoder behind the bounds of this module.
#[derive(Debug, Clone)]
pub struct BoundedDecoder<U>(ProstDecoder<U>);

impl<U: Message + Default + Name> Decoder for BoundedDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        // tonic gathers a message in one piece before it asks for it to be decoded.
        if buffer.remaining() > WALKED_FROM_BYTES {
            check::<U>(buffer.chunk())?;
        }
        self.0.decode(buffer)
    }

    fn buffer_settings(&self) -> BufferSettings {
        self.0.buffer_settings()
    }
}

/// Refuses the bytes of a request that would decode to more than the bounds allow. Messages that are no requests pass.
///
/// # Errors
/// A status with BNY-0103, BNY-0104 or BNY-0101.
pub fn check<U: Name>(bytes: &[u8]) -> Result<(), Status> {
    let Some(request) = SHAPES.requests.get(&U::full_name()) else {
        return Ok(());
    };
    Walk::over(&SHAPES, *request, bytes).map_err(|refusal| refusal.status())
}

/// Why a request is not decoded.
#[derive(Debug, PartialEq, Eq)]
enum Refusal<'a> {
    Elements { field: &'a str },
    Parts,
    Depth,
    Malformed,
}

impl Refusal<'_> {
    fn status(&self) -> Status {
        match self {
            Self::Elements {
                field: "banyan.v1.SubmitBatchRequest.submissions",
            } => errors::status(
                Code::BatchSize,
                format!("a batch holds 1 to {BATCH_COMMANDS_MAX} commands, this one more"),
            ),
            Self::Elements { field } => errors::status(
                Code::MessageTooLarge,
                format!("{field} has more than {ELEMENTS_MAX} elements"),
            ),
            Self::Parts => errors::status(
                Code::MessageTooLarge,
                format!("the message holds more than {PARTS_MAX} parts"),
            ),
            Self::Depth => errors::status(
                Code::MessageTooLarge,
                format!("the message nests deeper than {DEPTH_MAX}"),
            ),
            Self::Malformed => errors::status(
                Code::InvalidFields,
                "the bytes are not a message of this method",
            ),
        }
    }
}

/// What the walk must know of the messages of a set of files.
#[derive(Debug, Default)]
struct Shapes {
    messages: Vec<Shape>,
    /// Where the requests of the public services stand in `messages`, by full name.
    requests: BTreeMap<String, usize>,
}

/// The fields of a message that count, at the place of their number. All others are skipped. Our numbers are small.
#[derive(Debug, Default)]
struct Shape(Vec<Option<Part>>);

#[derive(Debug)]
struct Part {
    /// Full name, for the answer to a caller.
    name: String,
    /// The counter of a repeated field.
    counter: Option<usize>,
    /// The shape of a message; none for the elements of a repeated text.
    message: Option<usize>,
}

impl Shapes {
    fn of(set: &FileDescriptorSet) -> Self {
        let mut found = Vec::new();
        for file in &set.file {
            gather(file.package(), &file.message_type, &mut found);
        }
        let places: BTreeMap<&str, usize> = found
            .iter()
            .enumerate()
            .map(|(place, (name, _))| (name.as_str(), place))
            .collect();
        let place_of = |name: &str| places.get(name.trim_start_matches('.')).copied();
        let messages = found
            .iter()
            .map(|(name, message)| Shape::of(name, message, place_of))
            .collect();
        let requests = set
            .file
            .iter()
            .filter(|file| file.package() == PUBLIC_PACKAGE)
            .flat_map(|file| &file.service)
            .flat_map(|service| &service.method)
            .filter_map(|method| {
                let name = method.input_type().trim_start_matches('.');
                Some((name.to_owned(), place_of(name)?))
            })
            .collect();
        Self { messages, requests }
    }
}

/// All messages with their full names, nested ones too.
fn gather<'a>(
    scope: &str,
    messages: &'a [DescriptorProto],
    found: &mut Vec<(String, &'a DescriptorProto)>,
) {
    for message in messages {
        let name = format!("{scope}.{}", message.name());
        gather(&name, &message.nested_type, found);
        found.push((name, message));
    }
}

impl Shape {
    fn of(name: &str, message: &DescriptorProto, place_of: impl Fn(&str) -> Option<usize>) -> Self {
        let counts = |field: &&FieldDescriptorProto| {
            field.r#type() == Type::Message || field.label() == Label::Repeated
        };
        let mut parts = Vec::new();
        let mut counters = 0;
        for field in message.field.iter().filter(counts) {
            let counter = (field.label() == Label::Repeated).then(|| {
                counters += 1;
                (counters - 1).min(COUNTERS - 1)
            });
            let number = field.number().unsigned_abs() as usize;
            if parts.len() <= number {
                parts.resize_with(number + 1, || None);
            }
            parts[number] = Some(Part {
                name: format!("{name}.{}", field.name()),
                counter,
                message: place_of(field.type_name()),
            });
        }
        Self(parts)
    }

    fn part(&self, number: u32) -> Option<&Part> {
        self.0.get(usize::try_from(number).ok()?)?.as_ref()
    }
}

/// One walk over the bytes of a request.
struct Walk<'a> {
    shapes: &'a Shapes,
    parts: u32,
}

impl<'a> Walk<'a> {
    fn over(shapes: &'a Shapes, request: usize, bytes: &[u8]) -> Result<(), Refusal<'a>> {
        Self { shapes, parts: 0 }.message(request, bytes, 1)
    }

    fn message(&mut self, place: usize, mut bytes: &[u8], depth: u32) -> Result<(), Refusal<'a>> {
        if depth > DEPTH_MAX {
            return Err(Refusal::Depth);
        }
        let shape = &self.shapes.messages[place];
        let mut counters = [0; COUNTERS];
        while !bytes.is_empty() {
            let Some((number, value)) = next_field(&mut bytes) else {
                return Err(Refusal::Malformed);
            };
            let (Some(value), Some(part)) = (value, shape.part(number)) else {
                continue;
            };
            self.parts += 1;
            if self.parts > PARTS_MAX {
                return Err(Refusal::Parts);
            }
            if let Some(counter) = part.counter {
                counters[counter] += 1;
                if counters[counter] > ELEMENTS_MAX {
                    return Err(Refusal::Elements { field: &part.name });
                }
            }
            if let Some(message) = part.message {
                self.message(message, value, depth + 1)?;
            }
        }
        Ok(())
    }
}

/// Takes a field off the front: its number, and its bytes if it is of the kind that has a length. `None` for what is no field; groups,
/// which proto3 does not have, are none.
fn next_field<'b>(bytes: &mut &'b [u8]) -> Option<(u32, Option<&'b [u8]>)> {
    let (number, wire_type) = decode_key(bytes).ok()?;
    let length = match wire_type {
        WireType::Varint => {
            decode_varint(bytes).ok()?;
            return Some((number, None));
        }
        WireType::SixtyFourBit => 8,
        WireType::ThirtyTwoBit => 4,
        WireType::LengthDelimited => usize::try_from(decode_varint(bytes).ok()?).ok()?,
        WireType::StartGroup | WireType::EndGroup => return None,
    };
    let (value, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some((
        number,
        (wire_type == WireType::LengthDelimited).then_some(value),
    ))
}

#[cfg(test)]
mod tests {
    use prost_types::FileDescriptorProto;

    use super::*;

    /// `message Nest { Nest inner = 1; repeated string texts = 2; }`
    fn nests() -> Shapes {
        let field = |name: &str, number, kind: Type, label: Label| FieldDescriptorProto {
            name: Some(name.to_owned()),
            number: Some(number),
            r#type: Some(kind.into()),
            type_name: (kind == Type::Message).then(|| ".test.Nest".to_owned()),
            label: Some(label.into()),
            ..Default::default()
        };
        let nest = DescriptorProto {
            name: Some("Nest".to_owned()),
            field: vec![
                field("inner", 1, Type::Message, Label::Optional),
                field("texts", 2, Type::String, Label::Repeated),
            ],
            ..Default::default()
        };
        let file = FileDescriptorProto {
            package: Some("test".to_owned()),
            message_type: vec![nest],
            ..Default::default()
        };
        Shapes::of(&FileDescriptorSet { file: vec![file] })
    }

    fn nested(levels: u32) -> Vec<u8> {
        (1..levels).fold(Vec::new(), |inner, _| {
            let mut outer = vec![0x0a];
            prost::encoding::encode_varint(inner.len() as u64, &mut outer);
            outer.extend(inner);
            outer
        })
    }

    #[test]
    fn depth_and_repeated_texts_have_their_bounds() {
        let shapes = nests();
        let walk = |bytes: &[u8]| Walk::over(&shapes, 0, bytes);
        assert_eq!(walk(&nested(DEPTH_MAX)), Ok(()));
        assert_eq!(walk(&nested(DEPTH_MAX + 1)), Err(Refusal::Depth));
        assert_eq!(walk(&[0x12, 0].repeat(1_000)), Ok(()));
        let field = "test.Nest.texts";
        assert_eq!(
            walk(&[0x12, 0].repeat(1_001)),
            Err(Refusal::Elements { field })
        );
        // A field that is no list counts, too, each time that it is given.
        assert_eq!(walk(&[0x0a, 0].repeat(150_000)), Ok(()));
        assert_eq!(walk(&[0x0a, 0].repeat(150_001)), Err(Refusal::Parts));
    }

    #[test]
    fn what_cannot_be_followed_is_refused() {
        let shapes = nests();
        let walk = |bytes: &[u8]| Walk::over(&shapes, 0, bytes);
        // A length past the end, half a number, a field without a number, a group.
        for bytes in [&[0x0a, 2, 0][..], &[0x80], &[0x02, 0], &[0x1b, 0x1c]] {
            assert_eq!(walk(bytes), Err(Refusal::Malformed), "{bytes:?}");
        }
        // An inner message that is longer than the outer one.
        assert_eq!(
            walk(&[0x0a, 2, 0x0a, 4, 0x12, 0, 0x12, 0]),
            Err(Refusal::Malformed)
        );
        // Fields of other kinds, and unknown ones, are skipped.
        assert_eq!(
            walk(&[
                0x18, 5, 0x21, 0, 0, 0, 0, 0, 0, 0, 0, 0x2d, 0, 0, 0, 0, 0x32, 1, 9
            ]),
            Ok(())
        );
    }

    #[test]
    fn requests_of_the_public_services_are_known_and_those_of_peers_are_not() {
        let known: Vec<&str> = SHAPES.requests.keys().map(String::as_str).collect();
        for request in [
            "banyan.v1.SubmitBatchRequest",
            "banyan.v1.Call",
            "banyan.v1.StatusRequest",
        ] {
            assert!(known.contains(&request), "{request}: {known:?}");
        }
        assert!(
            known.iter().all(|name| name.starts_with("banyan.v1.")),
            "{known:?}"
        );
        let most = SHAPES.messages.iter().map(|shape| {
            shape
                .0
                .iter()
                .flatten()
                .filter(|part| part.counter.is_some())
                .count()
        });
        assert!(
            most.max() <= Some(COUNTERS),
            "each repeated field has a counter of its own"
        );
    }
}
