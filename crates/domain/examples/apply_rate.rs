//! How many registrations a second the decision alone takes: `apply` over a registry in memory, on one thread.
//!
//! `cargo run -p banyan-domain --example apply_rate -- [PERSONS]`. The figure bounds what a node can import from above;
//! the store's look-ups and its log come on top.
#![expect(clippy::print_stdout, reason = "the figure is what the program is for")]

use std::time::{Duration, Instant};

use banyan_domain::{
    Actor, ApplyContext, BirthDate, Cmnd, Command, CommandHead, CountryCode, DocumentKind,
    DocumentNumber, Envelope, FieldFault, Fingerprint, IdempotencyKey, LegalBasis, MemoryView,
    Nationalities, NodeId, Office, OverlayView, PersonData, PersonName, Place, Position, Principal,
    RegisterPerson, Role, Sex, SourceDocument, Text, Timestamp, Units, ValueFault, apply,
};

const BATCH: usize = 500;
/// When the keys are made and the commands decided.
const TIME: Timestamp = Timestamp(1_795_323_600_000);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let persons: u64 = std::env::args()
        .nth(1)
        .map_or(Ok(200_000), |count| count.parse())?;
    let envelopes = (0..persons)
        .map(envelope)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|fault| fault.to_string())?;
    let mut view = MemoryView::new();
    let (mut deciding, mut carrying) = (Duration::ZERO, Duration::ZERO);
    for (index, batch) in (1..).zip(envelopes.chunks(BATCH)) {
        let mut overlay = OverlayView::new(&view);
        let mut changes = Vec::new();
        for (ordinal, envelope) in (0..).zip(batch) {
            let position = Position { term: 1, index };
            let context = ApplyContext {
                position,
                ordinal,
                time: TIME,
            };
            let start = Instant::now();
            let transition = apply(&overlay, &context, envelope)?;
            deciding += start.elapsed();
            transition.outcome.result?;
            let start = Instant::now();
            changes.extend(transition.mutations.iter().cloned());
            overlay.absorb(transition.mutations);
            carrying += start.elapsed();
        }
        let start = Instant::now();
        view.absorb(changes);
        carrying += start.elapsed();
    }
    let rate = |time: Duration| persons as f64 / time.as_secs_f64();
    let each = |time: Duration| time.as_secs_f64() * 1e6 / persons as f64;
    println!("{persons} persons in batches of {BATCH}");
    println!(
        "apply:                       {:>9.0} persons/s, {:.2} us each",
        rate(deciding),
        each(deciding)
    );
    println!(
        "carrying out in memory:      {:>9.0} persons/s, {:.2} us each",
        rate(carrying),
        each(carrying)
    );
    Ok(())
}

/// A form as they come: places with codes, a card number, no PIN yet. Spread over provinces and years.
fn envelope(number: u64) -> Result<Envelope, FieldFault> {
    let at = |field: &'static str| move |fault: ValueFault| fault.at(field);
    let (ward, district, province) = Units::current()
        .wards()
        .nth((number % 97) as usize * 103)
        .ok_or_else(|| FieldFault::new("ward", "the list of units is shorter than it was"))?;
    let place = Place {
        province: Some(province),
        district: Some(district),
        ward: Some(ward),
        detail: Some(Text::new("12 đường Lê Lợi").map_err(at("detail"))?),
        country: None,
    };
    let year = 1930 + number % 90;
    let name =
        PersonName::new("Nguyễn", "Thị Minh", "Khai").map_err(|mut faults| faults.remove(0))?;
    let data = PersonData {
        name,
        birth_date: BirthDate::parse(&format!("{year}-0{}-1{}", 1 + number % 9, number % 10))
            .map_err(at("birth_date"))?,
        sex: if number.is_multiple_of(2) {
            Sex::Female
        } else {
            Sex::Male
        },
        birth_registration_place: place.clone(),
        native_place: place.clone(),
        ethnicity: None,
        religion: None,
        nationalities: Nationalities::new(vec![CountryCode::VN]).map_err(at("nationalities"))?,
        marital_status: None,
        permanent_residence: place.clone(),
        temporary_residence: None,
        temporary_absence: None,
        current_residence: place,
        blood_group: None,
        father: None,
        mother: None,
        spouse: None,
        legal_representative: None,
        household: None,
        cmnd: Some(Cmnd::parse(&format!("{number:09}")).map_err(at("cmnd"))?),
    };
    let mut random = [0; 10];
    random[3..].copy_from_slice(&number.to_be_bytes()[1..]);
    let key = IdempotencyKey::new(TIME, random);
    Ok(Envelope {
        actor: Actor {
            principal: Principal::new("centre@central").map_err(at("principal"))?,
            role: Role::Centre,
            admitted_by: NodeId(1),
        },
        key,
        fingerprint: Fingerprint(*key.as_bytes()),
        salt: number.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        head: CommandHead {
            office: Office::new("001-QLHC").map_err(at("office"))?,
            legal_basis: LegalBasis::Collection,
            document: SourceDocument {
                kind: DocumentKind::CollectionForm,
                number: DocumentNumber::new(&format!("DC01-{number:07}"))
                    .map_err(at("document"))?,
                issued: None,
            },
        },
        command: Command::RegisterPerson(Box::new(RegisterPerson {
            data,
            pin: None,
            death: None,
        })),
    })
}
