//! A bar that shows how full something is.

use super::pool::Part;

/// How many characters a bar has between its brackets.
const WIDTH: usize = 20;

/// What the parts of a bar are, in order (allocated, reserved, cooling, free): the sign, and the colour where there are colours.
const PARTS: [(char, &str); 4] = [('#', "\x1b[32m"), ('+', "\x1b[33m"), ('~', "\x1b[36m"), ('.', "\x1b[2m")];

const PLAIN: &str = "\x1b[0m";

/// `[####++~.............]`: each part as wide as its share, and what is there at all has a character at least.
pub(super) fn bar(part: &Part, colours: bool) -> String {
    let amounts = [part.allocated, part.reserved, part.cooling, part.free];
    let mut text = String::from("[");
    for ((sign, colour), width) in PARTS.into_iter().zip(widths(amounts.map(ipam::Amount::as_f64))) {
        if width > 0 {
            text.extend(colours.then_some(colour));
            text.extend(std::iter::repeat_n(sign, width));
            text.extend(colours.then_some(PLAIN));
        }
    }
    text.push(']');
    text
}

/// Shares out the characters; what the shares leave over goes to those that have lost most of one. The sum is [`WIDTH`], but
/// for nothing at all.
#[expect(clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "there are few characters")]
fn widths(amounts: [f64; 4]) -> [usize; 4] {
    let total: f64 = amounts.iter().sum();
    if total <= 0.0 {
        return [0; 4];
    }
    let shares = amounts.map(|amount| amount / total * WIDTH as f64);
    let mut widths = [0; 4];
    for (width, share) in widths.iter_mut().zip(shares) {
        *width = if share > 0.0 { (share as usize).max(1) } else { 0 };
    }
    let lost = |widths: &[usize; 4], at: usize| shares[at] - widths[at] as f64;
    while widths.iter().sum::<usize>() < WIDTH {
        let most = (0..4).max_by(|&a, &b| lost(&widths, a).total_cmp(&lost(&widths, b)));
        widths[most.unwrap_or_default()] += 1;
    }
    while widths.iter().sum::<usize>() > WIDTH {
        let least = (0..4).filter(|&at| widths[at] > 1).min_by(|&a, &b| lost(&widths, a).total_cmp(&lost(&widths, b)));
        widths[least.unwrap_or_default()] -= 1;
    }
    widths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_colours_and_without() {
        let part = Part {
            prefix: None,
            node: None,
            total: 256.into(),
            allocated: 64.into(),
            free: 128.into(),
            reserved: 52.into(),
            cooling: 12.into(),
            grants: 64,
            largest_free: None,
            fragmentation: None,
        };
        assert_eq!(bar(&part, false), "[#####++++~..........]");
        let colours = "[\x1b[32m#####\x1b[0m\x1b[33m++++\x1b[0m\x1b[36m~\x1b[0m\x1b[2m..........\x1b[0m]";
        assert_eq!(bar(&part, true), colours);
        let empty = Part { allocated: 0.into(), free: 0.into(), reserved: 0.into(), cooling: 0.into(), ..part };
        assert_eq!(bar(&empty, true), "[]", "a prefix of which all is excluded");
    }

    #[test]
    fn each_part_is_as_wide_as_its_share() {
        assert_eq!(widths([0.0, 0.0, 0.0, 256.0]), [0, 0, 0, 20]);
        assert_eq!(widths([128.0, 64.0, 0.0, 64.0]), [10, 5, 0, 5]);
        assert_eq!(widths([1.0, 1.0, 1.0, 0.0]), [6, 7, 7, 0]);
        assert_eq!(widths([0.0; 4]), [0; 4], "a pool from which all is excluded");
    }

    #[test]
    fn what_is_there_is_seen() {
        assert_eq!(widths([1.0, 0.0, 1.0, 65_534.0]), [1, 0, 1, 18]);
        assert_eq!(widths([65_535.0, 0.0, 0.0, 1.0]), [19, 0, 0, 1]);
        assert_eq!(widths([1.0, 1.0, 1.0, 2.0_f64.powi(127)]), [1, 1, 1, 17]);
    }

    #[test]
    fn all_shares_make_a_whole_bar() {
        for first in 0..40_u8 {
            for second in 0..40 {
                for third in 0..10 {
                    let widths = widths([first, second, third, 7].map(f64::from));
                    assert_eq!(widths.iter().sum::<usize>(), WIDTH);
                    assert_eq!(widths.map(|width| width > 0), [first > 0, second > 0, third > 0, true]);
                }
            }
        }
    }
}
