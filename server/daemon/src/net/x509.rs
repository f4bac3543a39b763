//! The public key in a certificate.

/// Bytes that do not have a certificate's structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not an X.509 certificate")]
pub(super) struct NotACertificate;

const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;
/// `[0]`, which holds the version; version 1 goes without saying.
const VERSION: u8 = 0xa0;

/// The `SubjectPublicKeyInfo` of a certificate of any version, as it stands there.
pub(super) fn public_key(certificate: &[u8]) -> Result<&[u8], NotACertificate> {
    let mut outer = Elements(certificate);
    let mut certificate = Elements(outer.next(SEQUENCE)?.content);
    let mut fields = Elements(certificate.next(SEQUENCE)?.content);
    if fields.0.first() == Some(&VERSION) {
        fields.next(VERSION)?;
    }
    fields.next(INTEGER)?; // serial number
    fields.next(SEQUENCE)?; // algorithm of the signature
    fields.next(SEQUENCE)?; // issuer
    fields.next(SEQUENCE)?; // validity
    fields.next(SEQUENCE)?; // subject
    Ok(fields.next(SEQUENCE)?.whole)
}

/// Elements in DER, one after another.
struct Elements<'a>(&'a [u8]);

struct Element<'a> {
    whole: &'a [u8],
    content: &'a [u8],
}

impl<'a> Elements<'a> {
    /// Takes the next element, which must have that tag.
    fn next(&mut self, tag: u8) -> Result<Element<'a>, NotACertificate> {
        let (&[found, first], rest) = self.0.split_first_chunk().ok_or(NotACertificate)?;
        if found != tag {
            return Err(NotACertificate);
        }
        let (length, rest) = length(first, rest).ok_or(NotACertificate)?;
        let (content, after) = rest.split_at_checked(length).ok_or(NotACertificate)?;
        let whole = &self.0[..self.0.len() - after.len()];
        self.0 = after;
        Ok(Element { whole, content })
    }
}

/// A length, of up to four bytes after its first, and what follows it.
fn length(first: u8, rest: &[u8]) -> Option<(usize, &[u8])> {
    let bytes = match first {
        0..=0x7f => return Some((usize::from(first), rest)),
        0x81..=0x84 => usize::from(first - 0x80),
        _ => return None,
    };
    let (bytes, rest) = rest.split_at_checked(bytes)?;
    Some((bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest))
}

#[cfg(test)]
mod tests {
    use rcgen::{PublicKeyData, generate_simple_self_signed};

    use super::*;

    #[test]
    fn the_key_of_a_certificate_is_found_and_a_part_of_a_certificate_is_none() {
        let made = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate = made.cert.der();
        assert_eq!(public_key(certificate).unwrap(), made.signing_key.subject_public_key_info());
        for length in 0..certificate.len() {
            assert_eq!(public_key(&certificate[..length]), Err(NotACertificate), "{length} bytes");
        }
        let mut damaged = certificate.to_vec();
        for at in 0..damaged.len() {
            for value in [0, 0x7f, 0x84, 0xff] {
                let right = std::mem::replace(&mut damaged[at], value);
                // Whatever it says, it does not panic.
                let _ = public_key(&damaged);
                damaged[at] = right;
            }
        }
    }
}
