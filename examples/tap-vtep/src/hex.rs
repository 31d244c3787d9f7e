//! Bytes as people write them: hexadecimal digits, with whitespace and colons between bytes.

use thiserror::Error;

/// Why a text is no bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum HexError {
    #[error("character {position} is {found:?}: not a hexadecimal digit")]
    NoDigit { position: usize, found: char },
    #[error("the byte that begins at character {position} has one digit, and two are needed")]
    HalfByte { position: usize },
}

/// Reads bytes. Positions in errors count characters from 1.
pub(crate) fn decode(text: &str) -> Result<Vec<u8>, HexError> {
    let mut bytes = Vec::with_capacity(text.len() / 2);
    // The first digit of a byte, and where it stands.
    let mut half: Option<(u8, usize)> = None;
    for (position, found) in (1..).zip(text.chars()) {
        if found == ':' || found.is_whitespace() {
            if let Some((_, position)) = half {
                return Err(HexError::HalfByte { position });
            }
            continue;
        }
        let digit = found.to_digit(16).ok_or(HexError::NoDigit { position, found })? as u8;
        match half.take() {
            Some((high, _)) => bytes.push(high << 4 | digit),
            None => half = Some((digit, position)),
        }
    }
    half.map_or(Ok(bytes), |(_, position)| Err(HexError::HalfByte { position }))
}

/// Writes bytes as digits without anything between.
pub(crate) fn encode(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(decode(&encode(&bytes)), Ok(bytes.clone()));
        assert_eq!(decode(&encode(&bytes).to_uppercase()), Ok(bytes));
        assert_eq!(decode(" 02:00\n\t0a  FF:\n"), Ok(vec![2, 0, 10, 255]));
        assert_eq!(decode(""), Ok(vec![]));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        assert_eq!(decode("02:0g"), Err(HexError::NoDigit { position: 5, found: 'g' }));
        assert_eq!(decode("ü"), Err(HexError::NoDigit { position: 1, found: 'ü' }));
        assert_eq!(decode("020"), Err(HexError::HalfByte { position: 3 }));
        assert_eq!(decode("02 0 1"), Err(HexError::HalfByte { position: 4 }));
        assert_eq!(decode("0:1"), Err(HexError::HalfByte { position: 1 }));
    }
}
