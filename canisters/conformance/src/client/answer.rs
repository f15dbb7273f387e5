//! What becomes of a call.

use crate::case::Failure;

/// A call that was refused or failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// The reject code, 1 to 6.
    pub code: u64,
    /// For people.
    pub message: String,
    /// Whether a certificate says so: the call had been accepted.
    pub certified: bool,
}

/// `DESTINATION_INVALID`.
pub const DESTINATION_INVALID: u64 = 3;
/// `CANISTER_REJECT`.
pub const CANISTER_REJECT: u64 = 4;
/// `CANISTER_ERROR`.
pub const CANISTER_ERROR: u64 = 5;
/// `SYS_UNKNOWN`.
pub const SYS_UNKNOWN: u64 = 6;

/// The outcome of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It was answered.
    Reply(Vec<u8>),
    /// It was rejected.
    Reject(Reject),
}

impl Answer {
    /// The reply; a rejection fails the case.
    pub fn reply(self) -> Result<Vec<u8>, Failure> {
        match self {
            Self::Reply(reply) => Ok(reply),
            Self::Reject(reject) => Err(Failure::new(format!(
                "expected a reply, seen a rejection with code {}: {}",
                reject.code, reject.message
            ))),
        }
    }

    /// The numbers of the reply, little endian, 64 bits each.
    pub fn numbers(self) -> Result<Vec<u64>, Failure> {
        Ok(numbers(&self.reply()?))
    }

    /// The one number of the reply.
    pub fn number(self) -> Result<u64, Failure> {
        let numbers = self.numbers()?;
        match numbers.as_slice() {
            [number] => Ok(*number),
            other => Err(Failure::new(format!("expected one number, seen {other:?}"))),
        }
    }

    /// The rejection, which must have this code.
    pub fn rejected(self, code: u64) -> Result<Reject, Failure> {
        match self {
            Self::Reject(reject) if reject.code == code => Ok(reject),
            Self::Reject(reject) => Err(Failure::new(format!(
                "expected a rejection with code {code}, seen code {}: {}",
                reject.code, reject.message
            ))),
            Self::Reply(reply) => Err(Failure::new(format!(
                "expected a rejection with code {code}, seen a reply of {} bytes",
                reply.len()
            ))),
        }
    }

    /// The rejection, whatever its code.
    pub fn refused(self) -> Result<Reject, Failure> {
        match self {
            Self::Reject(reject) => Ok(reject),
            Self::Reply(reply) => Err(Failure::new(format!(
                "expected a rejection, seen a reply of {} bytes",
                reply.len()
            ))),
        }
    }

    /// What a canister heard from another one, as the usual callbacks tell it.
    pub fn heard(self) -> Result<Heard, Failure> {
        let reply = self.reply()?;
        let Some((code, data)) = reply.split_first_chunk::<8>() else {
            return Err(Failure::new(format!(
                "expected what a canister heard, seen {} bytes",
                reply.len()
            )));
        };
        Ok(Heard {
            code: u64::from_le_bytes(*code),
            data: data.to_vec(),
        })
    }
}

/// Little endian numbers of 64 bits.
pub fn numbers(bytes: &[u8]) -> Vec<u64> {
    let (chunks, _) = bytes.as_chunks::<8>();
    chunks.iter().map(|chunk| u64::from_le_bytes(*chunk)).collect()
}

/// What a canister heard from another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// The reject code, 0 for a reply.
    pub code: u64,
    /// The reply, or the reject message.
    pub data: Vec<u8>,
}

impl Heard {
    /// The reply; a rejection fails the case.
    pub fn reply(self) -> Result<Vec<u8>, Failure> {
        if self.code == 0 {
            return Ok(self.data);
        }
        Err(Failure::new(format!(
            "expected that the canister hears a reply, it heard code {}: {}",
            self.code,
            String::from_utf8_lossy(&self.data)
        )))
    }

    /// The reject message, whatever the code.
    pub fn refused(self) -> Result<String, Failure> {
        let code = self.code;
        if code == 0 {
            return Err(Failure::new(
                "expected that the canister hears a rejection, it heard a reply",
            ));
        }
        self.rejected(code)
    }

    /// The reject message, of a rejection with this code.
    pub fn rejected(self, code: u64) -> Result<String, Failure> {
        if self.code == code {
            return Ok(String::from_utf8_lossy(&self.data).into_owned());
        }
        Err(Failure::new(format!(
            "expected that the canister hears code {code}, it heard code {}: {}",
            self.code,
            String::from_utf8_lossy(&self.data)
        )))
    }
}
