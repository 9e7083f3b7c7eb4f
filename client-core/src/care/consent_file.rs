//! A consent as a file that anyone can check: the terms as the practice signed them, and the consent as the client's
//! device signed it.

use serde::{Deserialize, Serialize};

use super::consent::{ConsentBody, text_hash};
use super::hours::instant;
use super::statement::Signed;
use super::terms::Terms;
use crate::content::array;
use crate::crypto::signing::SigningPublic;
use crate::types::Timestamp;

const VERSION: u32 = 1;

const ABOUT: &str = "A consent given in Tacit. The readable lines repeat what the two statements say; a check compares \
                     them. If it holds: whoever had the practice key signed this text as these terms, and whoever had \
                     the consent key signed, at that time by their own clock, that it was shown to them and that they \
                     agreed. It does not prove who these people are, that the clock was right, or that the text was \
                     read: the devices of the two sides show which keys are theirs.";

/// What a file says, once it was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedConsent {
    /// How the practice called itself.
    pub from: String,
    /// The version of the terms.
    pub terms_version: u64,
    /// What was shown.
    pub terms: String,
    /// When the practice signed the terms, by its clock.
    pub terms_signed_at: Timestamp,
    /// When it was agreed to, by the client's clock.
    pub agreed_at: Timestamp,
    /// The practice's key, in hexadecimal digits.
    pub practice_key: String,
    /// The key of the client in this pairing, in hexadecimal digits.
    pub consent_key: String,
}

/// Why a file proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConsentFileError {
    /// It is no consent of Tacit.
    #[error("this is no consent that Tacit wrote, or it is damaged")]
    NotAConsent,
    /// A newer version wrote it.
    #[error("this consent was written by a newer version of Tacit; update this one")]
    NewerVersion,
    /// A signature does not hold, or the consent is not to these terms.
    #[error("the signatures do not hold: the file was altered, or was never signed like this")]
    NotSigned,
    /// The readable lines say something else than what was signed.
    #[error("the readable part says something else than what was signed: the file was altered")]
    Differs,
}

#[derive(Deserialize)]
struct Form {
    tacit_consent: u32,
}

#[derive(Deserialize, PartialEq, Serialize)]
struct File {
    tacit_consent: u32,
    about: String,
    practice: String,
    agreed_at: String,
    terms_version: u64,
    terms: String,
    practice_key: String,
    consent_key: String,
    terms_statement: String,
    consent_statement: String,
}

/// Writes the file.
pub(crate) fn write(
    practice_key: SigningPublic,
    consent_key: SigningPublic,
    terms: &Signed<Terms>,
    consent: &Signed<ConsentBody>,
) -> String {
    let file = file(practice_key, consent_key, terms, consent);
    // Strings and numbers always serialise.
    serde_json::to_string_pretty(&file).unwrap_or_default() + "\n"
}

fn file(
    practice_key: SigningPublic,
    consent_key: SigningPublic,
    terms: &Signed<Terms>,
    consent: &Signed<ConsentBody>,
) -> File {
    File {
        tacit_consent: VERSION,
        about: ABOUT.to_owned(),
        practice: consent.body.from.clone(),
        agreed_at: time(consent.body.agreed_at),
        terms_version: terms.body.version,
        terms: terms.body.text.clone(),
        practice_key: hex::encode(practice_key.to_bytes()),
        consent_key: hex::encode(consent_key.to_bytes()),
        terms_statement: hex::encode(terms.statement.bytes()),
        consent_statement: hex::encode(consent.statement.bytes()),
    }
}

/// `2026-06-01T08:00:00Z`
fn time(at: Timestamp) -> String {
    instant(at).to_string()
}

/// Checks the file of a consent, with nothing but the file.
///
/// If it holds: whoever had the practice key signed this text as these terms, and whoever had the consent key signed,
/// at that time by their own clock, that it was shown to them and that they agreed. It does not prove who these people
/// are, that the clock was right, or that the text was read.
///
/// # Errors
/// [`ConsentFileError`].
#[allow(clippy::needless_pass_by_value, reason = "bindings pass strings by value")]
pub fn check_consent(file: String) -> Result<CheckedConsent, ConsentFileError> {
    let Form { tacit_consent } = serde_json::from_str(&file).map_err(|_| ConsentFileError::NotAConsent)?;
    if tacit_consent > VERSION {
        return Err(ConsentFileError::NewerVersion);
    }
    let given: File = serde_json::from_str(&file).map_err(|_| ConsentFileError::NotAConsent)?;
    let key = |text: &str| {
        let bytes = hex::decode(text).map_err(|_| ConsentFileError::NotAConsent)?;
        let bytes = array(&bytes).map_err(|_| ConsentFileError::NotAConsent)?;
        SigningPublic::from_bytes(&bytes).map_err(|_| ConsentFileError::NotSigned)
    };
    let bytes = |text: &str| hex::decode(text).map_err(|_| ConsentFileError::NotAConsent);
    let (practice_key, consent_key) = (key(&given.practice_key)?, key(&given.consent_key)?);
    let terms = Signed::<Terms>::check(&practice_key, &bytes(&given.terms_statement)?);
    let consent = Signed::<ConsentBody>::check(&consent_key, &bytes(&given.consent_statement)?);
    let (Ok(terms), Ok(consent)) = (terms, consent) else { return Err(ConsentFileError::NotSigned) };
    if !consent.body.is_to(practice_key, &terms.body) {
        return Err(ConsentFileError::NotSigned);
    }
    // What the file says of itself may be in other words in another version; what it says of the consent may not.
    let expected = File { about: given.about.clone(), ..self::file(practice_key, consent_key, &terms, &consent) };
    if given != expected {
        return Err(ConsentFileError::Differs);
    }
    debug_assert_eq!(text_hash(&terms.body.text), consent.body.text_hash);
    Ok(CheckedConsent {
        from: consent.body.from,
        terms_version: terms.body.version,
        terms: terms.body.text,
        terms_signed_at: terms.body.signed_at,
        agreed_at: consent.body.agreed_at,
        practice_key: given.practice_key,
        consent_key: given.consent_key,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::pb;
    use crate::crypto::signing::{SigningKey, StatementKind};
    use crate::testing::{NOW, rng};
    use prost::Message as _;

    struct Case {
        practice: SigningKey,
        client: SigningKey,
        terms: Signed<Terms>,
        consent: Signed<ConsentBody>,
    }

    fn case() -> Case {
        let (practice, client) = (SigningKey::draw(&mut rng()), SigningKey::draw(&mut rng()));
        let terms =
            Signed::sign(&practice, Terms { version: 2, signed_at: NOW, text: "Be kind.\n\"So\" it is.".into() });
        let consent = ConsentBody::new([5; 32], practice.public(), "Dr. Example", &terms.body, NOW + 1);
        let consent = Signed::sign(&client, consent);
        Case { practice, client, terms, consent }
    }

    impl Case {
        fn file(&self) -> String {
            write(self.practice.public(), self.client.public(), &self.terms, &self.consent)
        }
    }

    #[test]
    fn a_file_can_be_checked_with_nothing_but_the_file() {
        let case = case();
        let checked = check_consent(case.file()).unwrap();
        assert_eq!(checked.terms, case.terms.body.text);
        assert_eq!((checked.from.as_str(), checked.terms_version), ("Dr. Example", 2));
        assert_eq!((checked.terms_signed_at, checked.agreed_at), (NOW, NOW + 1));
        assert_eq!(checked.consent_key, hex::encode(case.client.public().to_bytes()));
        assert!(case.file().contains("\"agreed_at\": \"2026-06-01T08:00:00.001Z\""), "{}", case.file());
    }

    #[test]
    fn whatever_is_altered_shows() {
        let file = case().file();
        for (from, to, why) in [
            ("Be kind.", "Be unkind.", ConsentFileError::Differs),
            ("Dr. Example", "Dr. Other", ConsentFileError::Differs),
            ("2026-06-01T08", "2026-06-01T09", ConsentFileError::Differs),
            ("\"terms_version\": 2", "\"terms_version\": 3", ConsentFileError::Differs),
            ("\"tacit_consent\": 1", "\"tacit_consent\": 2", ConsentFileError::NewerVersion),
            ("\"tacit_consent\": 1", "\"tacit\": 1", ConsentFileError::NotAConsent),
            ("\"practice_key\"", "\"practice\"", ConsentFileError::NotAConsent),
        ] {
            assert!(file.contains(from), "{from}");
            assert_eq!(check_consent(file.replacen(from, to, 1)), Err(why), "{from}");
        }
        let reworded = file.replacen("A consent given in Tacit.", "Ein Einverständnis.", 1);
        assert!(check_consent(reworded).is_ok());
        assert_eq!(check_consent(String::new()), Err(ConsentFileError::NotAConsent));
        assert_eq!(check_consent("{}".to_owned()), Err(ConsentFileError::NotAConsent));
    }

    #[test]
    fn consent_is_to_one_text_one_version_and_one_practice() {
        let good = case();
        let other_text = Terms { text: "Be kind.".into(), ..good.terms.body.clone() };
        let other_version = Terms { version: 3, ..good.terms.body.clone() };
        for terms in [other_text, other_version] {
            let case = Case { terms: Signed::sign(&good.practice, terms), ..case() };
            let file = write(good.practice.public(), good.client.public(), &case.terms, &good.consent);
            assert_eq!(check_consent(file), Err(ConsentFileError::NotSigned));
        }
        // The same text, signed by somebody else.
        let stranger = SigningKey::draw(&mut rng());
        let terms = Signed::sign(&stranger, good.terms.body.clone());
        let file = write(stranger.public(), good.client.public(), &terms, &good.consent);
        assert_eq!(check_consent(file), Err(ConsentFileError::NotSigned));
        // A consent by another key than the one that is named.
        let file = write(good.practice.public(), stranger.public(), &good.terms, &good.consent);
        assert_eq!(check_consent(file), Err(ConsentFileError::NotSigned));
    }

    #[test]
    fn a_key_of_small_order_proves_nothing() {
        let good = case();
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let file = good.file();
        let key = hex::encode(good.client.public().to_bytes());
        assert_eq!(check_consent(file.replace(&key, &hex::encode(neutral))), Err(ConsentFileError::NotSigned));
    }

    #[test]
    fn consents_that_break_a_rule_are_refused() {
        let good = case().consent.body;
        let encoded = pb::Consent::decode(super::super::statement::Body::encode(&good).as_slice()).unwrap();
        let with = |change: &dyn Fn(&mut pb::Consent)| {
            let mut changed = encoded.clone();
            change(&mut changed);
            changed.encode_to_vec()
        };
        let key = SigningKey::draw(&mut rng());
        for bad in [
            with(&|consent| consent.terms_version = 0),
            with(&|consent| consent.terms_version = u64::MAX),
            with(&|consent| consent.pairing.truncate(31)),
            with(&|consent| consent.practice_key.push(0)),
            with(&|consent| consent.text_hash.clear()),
            with(&|consent| consent.from.clear()),
            with(&|consent| consent.from = "x".repeat(201)),
        ] {
            let statement = key.sign(StatementKind::Consent, &bad);
            assert!(Signed::<ConsentBody>::check(&key.public(), statement.bytes()).is_err());
        }
    }
}
