//! Where people live: real administrative units, chosen by the number of inhabitants of their province.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use banyan_domain::Units;

use crate::random::Dice;

/// Inhabitants of each province in thousands, census of 1 April 2019, rounded; the key is the statistical code.
#[rustfmt::skip]
pub(crate) const INHABITANTS: &[(u16, u32)] = &[
    (1, 8054), (2, 855), (4, 530), (6, 314), (8, 785), (10, 730), (11, 599), (12, 460), (14, 1248), (15, 821),
    (17, 854), (19, 1287), (20, 782), (22, 1320), (24, 1804), (25, 1464), (26, 1151), (27, 1369), (30, 1892),
    (31, 2028), (33, 1253), (34, 1860), (35, 853), (36, 1780), (37, 983), (38, 3640), (40, 3328), (42, 1289),
    (44, 896), (45, 633), (46, 1129), (48, 1134), (49, 1496), (51, 1232), (52, 1487), (54, 873), (56, 1231),
    (58, 591), (60, 1231), (62, 541), (64, 1514), (66, 1869), (67, 622), (68, 1297), (70, 995), (72, 1169),
    (74, 2427), (75, 3097), (77, 1148), (79, 8993), (80, 1689), (82, 1764), (83, 1288), (84, 1009), (86, 1023),
    (87, 1599), (89, 1908), (91, 1723), (92, 1235), (93, 733), (94, 1200), (95, 907), (96, 1194),
];

/// Provinces that draw workers from elsewhere, with the weight of their pull.
const MAGNETS: &[(u16, u32)] = &[(79, 40), (74, 22), (1, 20), (75, 10), (27, 5), (48, 3)];

/// A ward with the units above it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ward {
    pub(crate) province: u16,
    pub(crate) district: String,
    pub(crate) code: String,
}

/// The wards of each province, in the order of their codes.
static WARDS: LazyLock<BTreeMap<u16, Vec<Ward>>> = LazyLock::new(wards_by_province);

fn wards_by_province() -> BTreeMap<u16, Vec<Ward>> {
    let mut wards: BTreeMap<u16, Vec<Ward>> = BTreeMap::new();
    for (ward, district, province) in Units::current().wards() {
        let Ok(number) = province.as_str().parse() else {
            continue;
        };
        let ward = Ward {
            province: number,
            district: district.as_str().to_owned(),
            code: ward.as_str().to_owned(),
        };
        wards.entry(number).or_default().push(ward);
    }
    for list in wards.values_mut() {
        list.sort_by(|left, right| left.code.cmp(&right.code));
    }
    wards
}

/// A province, as likely as it has inhabitants.
pub(crate) fn province(dice: &mut Dice) -> u16 {
    dice.weighted(INHABITANTS)
}

/// A province that people move to for work.
pub(crate) fn magnet(dice: &mut Dice) -> u16 {
    dice.weighted(MAGNETS)
}

/// A ward of a province. Every province of [`INHABITANTS`] has wards, which a test holds.
pub(crate) fn ward(dice: &mut Dice, province: u16) -> &'static Ward {
    let list = WARDS.get(&province).map_or(&[] as &[Ward], Vec::as_slice);
    assert!(
        !list.is_empty(),
        "every known province must have wards in the list of units"
    );
    dice.pick(list)
}

#[rustfmt::skip]
const STREETS: &[&str] = &[
    "Trần Hưng Đạo", "Lê Lợi", "Nguyễn Huệ", "Hai Bà Trưng", "Lý Thường Kiệt", "Quang Trung", "Phan Bội Châu",
    "Nguyễn Trãi", "Ngô Quyền", "Hùng Vương", "Lê Hồng Phong", "Điện Biên Phủ", "Võ Thị Sáu", "Hoàng Diệu",
    "Phan Chu Trinh", "Nguyễn Du", "Trường Chinh", "Lạc Long Quân",
];

/// An address within a ward: a house in a street, a hamlet or a residential group.
pub(crate) fn address(dice: &mut Dice) -> String {
    match dice.below(10) {
        0..=3 => format!("Số {} {}", dice.between(1, 400), dice.pick(STREETS)),
        4..=6 => format!("Thôn {}", dice.between(1, 14)),
        7 => format!("Ấp {}", dice.between(1, 9)),
        _ => format!("Tổ dân phố {}", dice.between(1, 40)),
    }
}

/// Ethnic groups of the whole country (codes of the 2009 census list) in shares of 10,000, census of 2019, rounded.
#[rustfmt::skip]
const ETHNICITIES: &[(u8, u32)] = &[
    (1, 8532), (2, 192), (3, 189), (4, 151), (5, 137), (8, 145), (7, 113), (9, 93), (6, 78), (10, 53), (11, 41),
    (12, 30), (13, 21), (14, 19), (15, 21), (16, 22), (17, 19), (18, 15), (19, 15), (20, 13), (21, 11), (22, 9),
    (23, 8), (24, 8), (25, 7), (26, 6), (27, 5), (28, 4), (29, 4), (30, 3),
];

/// The ethnic group of a household in a province, where some groups live together.
pub(crate) fn ethnicity(dice: &mut Dice, province: u16) -> u8 {
    // (group, chance in a thousand) of the groups that mark a province; the others are rare there.
    let marked: &[(u8, u32)] = match province {
        2 => &[(8, 340), (2, 230), (9, 150)],
        4 => &[(2, 410), (7, 300), (8, 110)],
        6 => &[(2, 520), (9, 170)],
        8 => &[(2, 250), (9, 130)],
        10 => &[(8, 250), (2, 150), (9, 140)],
        11 => &[(3, 370), (8, 370)],
        12 => &[(3, 310), (8, 240)],
        14 => &[(3, 530), (8, 150)],
        15 => &[(2, 180), (8, 120), (9, 120)],
        17 => &[(4, 630)],
        20 => &[(7, 420), (2, 360)],
        38 => &[(4, 110), (3, 70)],
        40 => &[(3, 100)],
        62 => &[(16, 250), (12, 120)],
        64 => &[(10, 300), (12, 120)],
        66 => &[(11, 180)],
        84 => &[(5, 310)],
        94 => &[(5, 300)],
        // Big cities and the lowlands: nearly everyone is Kinh.
        1 | 30 | 31 | 33..=37 | 48 | 79 | 82 | 83 | 87 => &[],
        _ => return dice.weighted(ETHNICITIES),
    };
    let mut point = dice.below(1000);
    for (group, share) in marked {
        if point < *share {
            return *group;
        }
        point -= share;
    }
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_63_provinces_have_wards() {
        assert_eq!(INHABITANTS.len(), 63);
        for (province, _) in INHABITANTS {
            assert!(
                WARDS.get(province).is_some_and(|wards| !wards.is_empty()),
                "province {province}"
            );
        }
        assert_eq!(WARDS.len(), 63);
    }

    #[test]
    fn shares_of_ethnic_groups_add_up() {
        let total: u32 = ETHNICITIES.iter().map(|(_, share)| share).sum();
        assert!((9_900..=10_100).contains(&total), "{total}");
    }
}
