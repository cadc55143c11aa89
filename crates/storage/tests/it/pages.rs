//! Reads of many records: what single look-ups would give, and of one position however much is written meanwhile.

use banyan_domain::{MemoryView, PersonVersion, Pin, ProvinceCode, View};
use banyan_storage::{ReadView, Stores};
use proptest::prelude::*;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::fixture::{open, run};
use crate::workload::Workload;

/// Entries that a test applies in all.
const ENTRIES: usize = 60;

fn write(stores: &Stores, workload: &mut Workload, entries: usize) {
    for _ in 0..entries {
        let (entry, _) = workload.entry(4);
        run(stores, &[entry]);
    }
}

/// Every number that a state holds, and as many that it does not, in a random order.
fn numbers(view: &ReadView, rng: &mut ChaCha8Rng) -> Vec<Pin> {
    let mut pins = Vec::new();
    view.visit_pins(|pin, _| {
        pins.push(pin);
        Ok(())
    })
    .unwrap();
    for _ in 0..pins.len() {
        let digits = rng.random_range(0..1_000_000_000_000_u64);
        pins.push(Pin::parse(&format!("{digits:012}")).unwrap());
    }
    pins.shuffle(rng);
    pins
}

fn by_pins(view: &ReadView, pins: &[Pin]) -> Vec<Option<PersonVersion>> {
    let mut found = Vec::new();
    let visit = |person| {
        found.push(person);
        true
    };
    view.visit_by_pins(pins, visit).unwrap();
    found
}

fn modelled(model: &MemoryView, pin: &Pin) -> Option<PersonVersion> {
    let person = model.person_by_pin(pin).unwrap()?;
    model.version(person).unwrap()
}

/// Everyone in the order of the numbers, a few at a time, as a scan goes on page after page.
fn scanned(
    view: &ReadView,
    province: Option<ProvinceCode>,
    page: usize,
) -> Vec<(Pin, PersonVersion)> {
    let mut found: Vec<(Pin, PersonVersion)> = Vec::new();
    loop {
        let before = found.len();
        let after = found.last().map(|(pin, _)| *pin);
        let visit = |pin: &Pin, version| {
            found.push((*pin, version));
            found.len() < before + page
        };
        view.visit_persons(province, after.as_ref(), visit).unwrap();
        if found.len() < before + page {
            return found;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn many_look_ups_give_what_single_ones_give_and_keep_their_position(seed in any::<u64>()) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut workload = Workload::new(seed);
        let directory = tempfile::tempdir().unwrap();
        let stores = open(directory.path());
        let before = rng.random_range(1..ENTRIES);
        write(&stores, &mut workload, before);
        let held = stores.state.view().unwrap();
        let model = workload.model.clone();

        write(&stores, &mut workload, ENTRIES - before);
        stores.state.flush().wait().unwrap();
        let now = stores.state.view().unwrap();
        let pins = numbers(&now, &mut rng);
        for (view, model) in [(&held, &model), (&now, &workload.model)] {
            let single: Vec<_> = pins.iter().map(|pin| view.get_by_pin(pin).unwrap()).collect();
            let expected: Vec<_> = pins.iter().map(|pin| modelled(model, pin)).collect();
            prop_assert_eq!(&single, &expected);
            prop_assert_eq!(by_pins(view, &pins), expected);

            let mut sorted = pins.clone();
            sorted.sort_unstable();
            let everyone: Vec<_> =
                sorted.iter().filter_map(|pin| Some((*pin, modelled(model, pin)?))).collect();
            for page in [1, 7, usize::MAX / 2] {
                prop_assert_eq!(&scanned(view, None, page), &everyone);
            }
            for code in ["01", "40", "48", "79", "96"] {
                let province = ProvinceCode::new(code).unwrap();
                let opens = |pin: &Pin| pin.as_str().starts_with(&format!("0{code}"));
                let there: Vec<_> = everyone.iter().filter(|(pin, _)| opens(pin)).cloned().collect();
                prop_assert_eq!(scanned(view, Some(province), 3), there);
            }
        }
        prop_assert_eq!(by_pins(&now, &[]), Vec::new());
    }
}

#[test]
fn a_reader_that_has_enough_is_not_given_more() {
    let mut workload = Workload::new(7);
    let directory = tempfile::tempdir().unwrap();
    let stores = open(directory.path());
    write(&stores, &mut workload, ENTRIES);
    let view = stores.state.view().unwrap();
    let pins = numbers(&view, &mut ChaCha8Rng::seed_from_u64(7));
    for enough in [1, 2, 10] {
        let mut given = 0;
        view.visit_by_pins(&pins, |_| {
            given += 1;
            given < enough
        })
        .unwrap();
        assert_eq!(given, enough);
    }
}
