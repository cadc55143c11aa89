//! Who sits in a household: relations, ages and marriages, before anybody has a name.

use crate::household::{Marital, Relation};
use crate::names::Gender;
use crate::random::Dice;

/// Oldest age in the population: a PIN cannot be made for a birth before 1900.
const AGE_MAX: u32 = 104;

/// A place in the household before anything but its relations is known.
pub(crate) struct Seat {
    pub(crate) gender: Gender,
    pub(crate) age: u32,
    pub(crate) relation: Relation,
    pub(crate) marital: Marital,
    pub(crate) spouse: Option<usize>,
    pub(crate) father: Option<usize>,
    pub(crate) mother: Option<usize>,
}

/// Ages of heads of household: (first, last), weight.
#[rustfmt::skip]
const HEAD_AGES: &[((u32, u32), u32)] = &[
    ((21, 26), 70), ((27, 31), 120), ((32, 36), 150), ((37, 41), 145), ((42, 46), 120), ((47, 51), 105),
    ((52, 56), 95), ((57, 61), 80), ((62, 66), 60), ((67, 72), 45), ((73, 79), 25), ((80, 93), 17),
];

/// Children that a couple ever has.
const CHILDREN: &[(u32, u32)] = &[(0, 6), (1, 20), (2, 48), (3, 19), (4, 6), (5, 1)];

/// Who sits where. The head comes first; the head's parents come before the children, so that the parents' names
/// exist when they are asked for.
pub(crate) fn seats(dice: &mut Dice) -> Vec<Seat> {
    let (first, last) = dice.weighted(HEAD_AGES);
    let age = dice.between(first, last);
    let gender = if dice.chance(if age > 70 { 560 } else { 760 }) {
        Gender::Male
    } else {
        Gender::Female
    };
    let marital = head_marital(dice, age);
    let mut seats = vec![seat(gender, age, Relation::Head, marital)];
    if marital == Marital::Married {
        let spouse = spouse_of(dice, gender, age);
        seats.push(spouse);
        seats[0].spouse = Some(1);
    }
    add_parents_of_head(dice, &mut seats);
    if marital == Marital::Never {
        return seats;
    }
    add_children(dice, &mut seats);
    add_grandchild(dice, &mut seats);
    seats
}

fn seat(gender: Gender, age: u32, relation: Relation, marital: Marital) -> Seat {
    Seat {
        gender,
        age,
        relation,
        marital,
        spouse: None,
        father: None,
        mother: None,
    }
}

fn head_marital(dice: &mut Dice, age: u32) -> Marital {
    let married = match age {
        ..=23 => 350,
        24..=27 => 620,
        28..=64 => 880,
        65..=74 => 680,
        _ => 420,
    };
    if dice.chance(married) {
        Marital::Married
    } else if dice.chance(if age < 35 { 880 } else { 200 }) {
        Marital::Never
    } else {
        Marital::DivorcedOrWidowed
    }
}

/// The legal age of marriage for the sex, plus a year to have married in.
fn marriage_age(gender: Gender) -> u32 {
    match gender {
        Gender::Male => 21,
        Gender::Female => 19,
    }
}

fn spouse_of(dice: &mut Dice, head: Gender, age: u32) -> Seat {
    let difference = dice.around(3, 6);
    let (gender, years) = match head {
        Gender::Male => (Gender::Female, age as i32 - difference),
        Gender::Female => (Gender::Male, age as i32 + difference),
    };
    let years = years.clamp(marriage_age(gender) as i32, AGE_MAX as i32) as u32;
    let mut spouse = seat(gender, years, Relation::Spouse, Marital::Married);
    spouse.spouse = Some(0);
    spouse
}

fn add_parents_of_head(dice: &mut Dice, seats: &mut Vec<Seat>) {
    let age = seats[0].age;
    let share = if seats[0].marital == Marital::Never {
        450
    } else {
        210
    };
    if !(21..=62).contains(&age) || !dice.chance(share) {
        return;
    }
    let mother_age = age + dice.between(20, 36);
    let father_age = (mother_age as i32 + dice.around(3, 5)).max(age as i32 + 20) as u32;
    let mother_lives = lives(dice, mother_age);
    let father_lives = lives(dice, father_age + 5);
    let marital = if mother_lives && father_lives {
        Marital::Married
    } else {
        Marital::DivorcedOrWidowed
    };
    let start = seats.len();
    if father_lives {
        seats[0].father = Some(start);
        seats.push(seat(
            Gender::Male,
            father_age.min(AGE_MAX),
            Relation::Parent,
            marital,
        ));
    }
    if mother_lives {
        let mother = seats.len();
        seats[0].mother = Some(mother);
        seats.push(seat(
            Gender::Female,
            mother_age.min(AGE_MAX),
            Relation::Parent,
            marital,
        ));
    }
    if marital == Marital::Married {
        seats[start].spouse = Some(start + 1);
        seats[start + 1].spouse = Some(start);
    }
}

fn lives(dice: &mut Dice, age: u32) -> bool {
    let share = match age {
        ..=59 => 940,
        60..=69 => 850,
        70..=79 => 640,
        80..=89 => 330,
        90..=AGE_MAX => 90,
        _ => 0,
    };
    dice.chance(share)
}

fn add_children(dice: &mut Dice, seats: &mut Vec<Seat>) {
    let couple = seats
        .iter()
        .position(|seat| seat.relation == Relation::Spouse);
    let (father, mother) = match (seats[0].gender, couple) {
        (Gender::Male, spouse) => (Some(0), spouse),
        (Gender::Female, spouse) => (spouse, Some(0)),
    };
    // Where the mother is gone her age is still needed to place the births.
    let mother_age = mother.map_or(seats[0].age.saturating_sub(3), |mother| seats[mother].age);
    let count = dice.weighted(CHILDREN);
    let mut age_at_birth = 19 + dice.below(6) + dice.below(6);
    for _ in 0..count {
        let Some(age) = mother_age
            .checked_sub(age_at_birth)
            .filter(|_| age_at_birth <= 44)
        else {
            break;
        };
        if dice.chance(at_home(age)) {
            let gender = if dice.chance(522) {
                Gender::Male
            } else {
                Gender::Female
            };
            let mut child = seat(gender, age, Relation::Child, Marital::Never);
            child.father = father;
            child.mother = mother;
            seats.push(child);
        }
        age_at_birth += 2 + dice.below(4);
    }
}

/// The chance in a thousand that a child of that age still lives with its parents.
fn at_home(age: u32) -> u32 {
    match age {
        ..=17 => 985,
        18..=22 => 860,
        23..=27 => 600,
        28..=32 => 280,
        _ => 90,
    }
}

fn add_grandchild(dice: &mut Dice, seats: &mut Vec<Seat>) {
    let age = seats[0].age;
    if age < 55 || !dice.chance(330) {
        return;
    }
    for _ in 0..dice.between(1, 2) {
        let gender = if dice.chance(522) {
            Gender::Male
        } else {
            Gender::Female
        };
        seats.push(seat(
            gender,
            dice.below(14),
            Relation::Grandchild,
            Marital::Never,
        ));
    }
}
