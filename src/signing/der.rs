//! Reads as much DER as is needed to recognize a private key before aws-lc parses it. aws-lc refuses a
//! key that is too short or of an unknown kind without saying which, and cannot hand out the numbers
//! that a JWK consists of.

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const OBJECT_ID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
/// The `parameters [0]` of an `ECPrivateKey` (RFC 5915 §3).
const EC_PARAMETERS: u8 = 0xa0;

/// The content of a PKCS#8 `PrivateKeyInfo` (RFC 5208 §5).
pub(super) struct Pkcs8<'a> {
    pub(super) kind: ObjectId<'a>,
    /// The curve, if the key is of kind `ecPublicKey`.
    pub(super) curve: Option<ObjectId<'a>>,
    pub(super) key: &'a [u8],
}

pub(super) fn pkcs8(der: &[u8]) -> Option<Pkcs8<'_>> {
    let mut info = Reader(Reader(der).value(SEQUENCE)?);
    info.value(INTEGER)?;
    let mut algorithm = Reader(info.value(SEQUENCE)?);
    let kind = ObjectId(algorithm.value(OBJECT_ID)?);
    let curve = algorithm.value(OBJECT_ID).map(ObjectId);
    Some(Pkcs8 { kind, curve, key: info.value(OCTET_STRING)? })
}

/// Returns the curve that an `ECPrivateKey` names (RFC 5915 §3).
pub(super) fn sec1_curve(der: &[u8]) -> Option<ObjectId<'_>> {
    let mut key = Reader(Reader(der).value(SEQUENCE)?);
    key.value(INTEGER)?;
    key.value(OCTET_STRING)?;
    Reader(key.value(EC_PARAMETERS)?).value(OBJECT_ID).map(ObjectId)
}

/// The public numbers of an RSA key, big-endian and without leading zeros.
pub(super) struct RsaPublic<'a> {
    pub(super) modulus: &'a [u8],
    pub(super) exponent: &'a [u8],
}

/// Reads the public numbers from an `RSAPrivateKey` (RFC 8017 §A.1.2).
pub(super) fn rsa_public(der: &[u8]) -> Option<RsaPublic<'_>> {
    let mut key = Reader(Reader(der).value(SEQUENCE)?);
    key.value(INTEGER)?;
    let (modulus, exponent) = (key.value(INTEGER)?, key.value(INTEGER)?);
    Some(RsaPublic { modulus: without_zeros(modulus), exponent: without_zeros(exponent) })
}

/// Returns the length of a big-endian number in bits.
pub(super) fn bits(number: &[u8]) -> usize {
    let number = without_zeros(number);
    number.first().map_or(0, |first| number.len() * 8 - first.leading_zeros() as usize)
}

pub(super) fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|&&byte| byte == 0).count();
    &number[zeros..]
}

/// The encoded content of an OBJECT IDENTIFIER.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ObjectId<'a>(pub(super) &'a [u8]);

impl ObjectId<'_> {
    pub(super) const RSA: Self = Self(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01]);
    pub(super) const EC: Self = Self(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01]);
    pub(super) const P256: Self = Self(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]);
    pub(super) const P384: Self = Self(&[0x2b, 0x81, 0x04, 0x00, 0x22]);
    pub(super) const P521: Self = Self(&[0x2b, 0x81, 0x04, 0x00, 0x23]);
    pub(super) const ED25519: Self = Self(&[0x2b, 0x65, 0x70]);
}

/// Writes the dotted form, such as `1.3.132.0.10`.
impl std::fmt::Display for ObjectId<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some((first, rest)) = self.0.split_first() else { return f.write_str("(empty)") };
        // The first byte holds two arcs. The object ids of keys never need a second byte for them.
        write!(f, "{}.{}", first / 40, first % 40)?;
        let mut arc = 0_u64;
        for byte in rest {
            arc = arc << 7 | u64::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                write!(f, ".{arc}")?;
                arc = 0;
            }
        }
        Ok(())
    }
}

/// Goes through the elements of one level.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Returns the content of the next element if it has this tag. Otherwise consumes nothing.
    fn value(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (&[found, length], mut rest) = self.0.split_first_chunk()?;
        if found != tag {
            return None;
        }
        let length = if length < 0x80 {
            usize::from(length)
        } else {
            // Two bytes are enough for 64 KiB, and no key is as long as that.
            let (bytes, behind) = rest.split_at_checked(usize::from(length & 0x7f))?;
            rest = behind;
            match *bytes {
                [low] => usize::from(low),
                [high, low] => usize::from(u16::from_be_bytes([high, low])),
                _ => return None,
            }
        };
        let (value, behind) = rest.split_at_checked(length)?;
        self.0 = behind;
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_id_prints_dotted() {
        assert_eq!(ObjectId::RSA.to_string(), "1.2.840.113549.1.1.1");
        assert_eq!(ObjectId::P384.to_string(), "1.3.132.0.34");
        assert_eq!(ObjectId::ED25519.to_string(), "1.3.101.112");
    }

    #[test]
    fn bits_are_counted_from_the_first_one() {
        assert_eq!(bits(&[]), 0);
        assert_eq!(bits(&[0, 0]), 0);
        assert_eq!(bits(&[0, 1]), 1);
        assert_eq!(bits(&[0x80, 0]), 16);
    }

    proptest::proptest! {
        #[test]
        fn no_input_causes_a_panic(der: Vec<u8>) {
            pkcs8(&der);
            sec1_curve(&der);
            rsa_public(&der);
        }
    }
}
