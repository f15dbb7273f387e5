//! Exports: a whole ledger in one file (section 8 of the ledger format), read and written block by block.

use std::io::{self, Read, Write};

use dcanary_types::fields::{FieldError, Fields};
use dcanary_types::value::map;
use dcanary_types::{Value, cbor};
use thiserror::Error;

use crate::checks;
use crate::replay::Replay;
use crate::report::{Check, Report, Status};
use crate::trust::TrustFile;

/// Value of `format` in the header.
pub const FORMAT: &str = "dcanary-export/1";

const MAX_HEADER: usize = 1 << 10;
/// No valid block comes near it: bodies are at most 2 KiB.
const MAX_BLOCK: usize = 1 << 16;
/// Two certificates, a witness and the policy document of 4,096 roles fit many times.
const MAX_TRAILER: usize = 1 << 24;

/// Why an export cannot be read or written.
#[derive(Debug, Error)]
pub enum ExportError {
    /// Reading or writing failed.
    #[error("the export cannot be read or written: {0}")]
    Io(#[from] io::Error),
    /// The export ends before its end.
    #[error("the export ends inside {0}")]
    EndsTooEarly(&'static str),
    /// An item is longer than any can be.
    #[error("{0} is longer than it can be")]
    TooLong(&'static str),
    /// An item is not the deterministic encoding of a value.
    #[error("{what} is not the deterministic encoding of a value: {source}")]
    Cbor {
        /// Which item.
        what: &'static str,
        /// Why.
        source: cbor::CborError,
    },
    /// An item has other fields.
    #[error("{what}: {source}")]
    Fields {
        /// Which item.
        what: &'static str,
        /// Which field.
        source: FieldError,
    },
    /// It does not begin as an export.
    #[error("this is no export: {0}; `dcanary ledger export` writes one")]
    Header(#[source] HeaderError),
    /// Bytes follow the trailer.
    #[error("bytes follow the trailer")]
    TrailingBytes,
    /// Another number of blocks was given than announced.
    #[error("the header announces {announced} blocks and {given} are given")]
    Count {
        /// Number in the header.
        announced: u64,
        /// Number of blocks given.
        given: u64,
    },
}

/// Why the beginning of an input is no header of an export.
#[derive(Debug, Error)]
pub enum HeaderError {
    /// It ends before the header does.
    #[error("it ends inside the header")]
    EndsTooEarly,
    /// It begins with something else, or the header names another format.
    #[error("it does not begin with a header of format dcanary-export/1")]
    Other,
    /// The header has other fields.
    #[error(transparent)]
    Fields(#[from] FieldError),
}

/// The first item of an export. Its ids are hints, compared with the trust file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Canister id of the ledger.
    pub ledger: Vec<u8>,
    /// Number of blocks, at least 1.
    pub size: u64,
}

impl Header {
    fn of(first: Value) -> Result<Self, HeaderError> {
        let Value::Map(map) = first else {
            // of another kind of file, the bytes of which are a value
            return Err(HeaderError::Other);
        };
        let mut map = Fields::new(map);
        let format = map.text("format")?;
        let header = Self {
            ledger: map.blob("ledger")?,
            size: map.nat("size")?,
        };
        map.done()?;
        let is_one = format == FORMAT
            && header.size > 0
            && header.ledger.len() <= dcanary_types::limits::MAX_PRINCIPAL_BYTES;
        is_one.then_some(header).ok_or(HeaderError::Other)
    }
}

/// The last item of an export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trailer {
    /// Certificate of the head.
    pub certificate: Vec<u8>,
    /// Witness of the labels.
    pub hash_tree: Vec<u8>,
    /// The encoded policy document.
    pub policy: Vec<u8>,
    /// `read_state` certificate of module hash and controllers.
    pub code: Option<Vec<u8>>,
}

/// Reads an export item by item.
#[derive(Debug)]
pub struct ExportReader<R> {
    input: R,
    header: Header,
    left: u64,
}

impl<R: Read> ExportReader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// [`ExportError::Header`] when the input does not begin with one, [`ExportError::Io`] when it cannot be read.
    pub fn new(mut input: R) -> Result<Self, ExportError> {
        const WHAT: &str = "the header";
        let first = read_value(&mut input, MAX_HEADER, WHAT).map_err(|source| match source {
            ExportError::Io(_) => source,
            ExportError::EndsTooEarly(_) => ExportError::Header(HeaderError::EndsTooEarly),
            // bytes of another kind of file, read as a value
            _ => ExportError::Header(HeaderError::Other),
        })?;
        let header = Header::of(first).map_err(ExportError::Header)?;
        let left = header.size;
        Ok(Self { input, header, left })
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Reads the next block, `None` after the last.
    ///
    /// # Errors
    /// When the next item is not a blob that holds a value in the deterministic encoding.
    pub fn next_block(&mut self) -> Result<Option<Value>, ExportError> {
        const WHAT: &str = "a block";
        let Some(left) = self.left.checked_sub(1) else {
            return Ok(None);
        };
        self.left = left;
        match read_value(&mut self.input, MAX_BLOCK, WHAT)? {
            Value::Blob(bytes) => cbor::decode(&bytes)
                .map(Some)
                .map_err(|source| ExportError::Cbor { what: WHAT, source }),
            other => {
                let source = FieldError::Kind {
                    field: WHAT.to_owned(),
                    expected: "Blob",
                    found: other.kind(),
                };
                Err(ExportError::Fields { what: WHAT, source })
            }
        }
    }

    /// Reads the trailer and makes sure that nothing follows it.
    ///
    /// # Errors
    /// When blocks are left, or the rest is not exactly one trailer.
    pub fn finish(mut self) -> Result<Trailer, ExportError> {
        const WHAT: &str = "the trailer";
        if self.left > 0 {
            return Err(ExportError::Count {
                announced: self.header.size,
                given: self.header.size - self.left,
            });
        }
        let fields = |source| ExportError::Fields { what: WHAT, source };
        let mut map = Fields::of(WHAT, read_value(&mut self.input, MAX_TRAILER, WHAT)?).map_err(fields)?;
        let mut trailer = Trailer {
            certificate: map.blob("certificate").map_err(fields)?,
            hash_tree: map.blob("hash_tree").map_err(fields)?,
            policy: map.blob("policy").map_err(fields)?,
            code: None,
        };
        match map.optional("code") {
            None => {}
            Some(Value::Blob(code)) => trailer.code = Some(code),
            Some(other) => {
                return Err(fields(FieldError::Kind {
                    field: "code".to_owned(),
                    expected: "Blob",
                    found: other.kind(),
                }));
            }
        }
        map.done().map_err(fields)?;
        if self.input.read(&mut [0])? > 0 {
            return Err(ExportError::TrailingBytes);
        }
        cbor::decode(&trailer.policy).map_err(|source| ExportError::Cbor {
            what: "the policy document",
            source,
        })?;
        Ok(trailer)
    }
}

/// Reads the bytes of one item and decodes them. Only lengths within `limit` are believed.
fn read_value(input: &mut impl Read, limit: usize, what: &'static str) -> Result<Value, ExportError> {
    let mut bytes = Vec::new();
    let mut pending: u64 = 1;
    while pending > 0 {
        pending -= 1;
        take(input, &mut bytes, 1, limit, what)?;
        let first = bytes.last().copied().unwrap_or_default();
        let start = bytes.len();
        let width = match first & 31 {
            info @ 24..=27 => 1 << (info - 24),
            _ => 0,
        };
        take(input, &mut bytes, width, limit, what)?;
        let argument = if width == 0 {
            u64::from(first & 31)
        } else {
            bytes[start..].iter().fold(0, |n, byte| n << 8 | u64::from(*byte))
        };
        // Heads that no value has are left to the decoder, which refuses them.
        match first >> 5 {
            2 | 3 => take(input, &mut bytes, argument, limit, what)?,
            4 => pending = pending.saturating_add(argument),
            5 => pending = pending.saturating_add(argument.saturating_mul(2)),
            _ => {}
        }
    }
    cbor::decode(&bytes).map_err(|source| ExportError::Cbor { what, source })
}

fn take(
    input: &mut impl Read,
    bytes: &mut Vec<u8>,
    len: u64,
    limit: usize,
    what: &'static str,
) -> Result<(), ExportError> {
    let room = limit.saturating_sub(bytes.len());
    let len = usize::try_from(len)
        .ok()
        .filter(|len| *len <= room)
        .ok_or(ExportError::TooLong(what))?;
    let start = bytes.len();
    bytes.resize(start + len, 0);
    input
        .read_exact(&mut bytes[start..])
        .map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => ExportError::EndsTooEarly(what),
            _ => ExportError::Io(error),
        })
}

/// Writes an export item by item.
#[derive(Debug)]
pub struct ExportWriter<W> {
    output: W,
    announced: u64,
    given: u64,
}

impl<W: Write> ExportWriter<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// When writing fails.
    pub fn new(mut output: W, header: &Header) -> Result<Self, ExportError> {
        let value = map([
            ("format", FORMAT.into()),
            ("ledger", header.ledger.clone().into()),
            ("size", header.size.into()),
        ]);
        output.write_all(&cbor::encode_map(&value))?;
        Ok(Self {
            output,
            announced: header.size,
            given: 0,
        })
    }

    /// Writes the next block, as the ledger encoded it.
    ///
    /// # Errors
    /// When writing fails, or more blocks are given than announced.
    pub fn block(&mut self, encoded: &[u8]) -> Result<(), ExportError> {
        self.given += 1;
        if self.given > self.announced {
            return Err(ExportError::Count {
                announced: self.announced,
                given: self.given,
            });
        }
        self.output
            .write_all(&cbor::encode(&Value::Blob(encoded.to_vec())))?;
        Ok(())
    }

    /// Writes the trailer and returns the output.
    ///
    /// # Errors
    /// When writing fails, or fewer blocks were given than announced.
    pub fn finish(mut self, trailer: &Trailer) -> Result<W, ExportError> {
        if self.given != self.announced {
            return Err(ExportError::Count {
                announced: self.announced,
                given: self.given,
            });
        }
        let mut value = map([
            ("certificate", trailer.certificate.clone().into()),
            ("hash_tree", trailer.hash_tree.clone().into()),
            ("policy", trailer.policy.clone().into()),
        ]);
        if let Some(code) = &trailer.code {
            value.insert("code".to_owned(), code.clone().into());
        }
        self.output.write_all(&cbor::encode_map(&value))?;
        self.output.flush()?;
        Ok(self.output)
    }
}

/// Verifies an export in one pass. Without trust file the arithmetic is checked and the report never says 0.
///
/// Give a buffered reader. Memory grows with the number of runs, environments and roles, not with the number of blocks.
pub fn verify_export<R: Read>(reader: R, trust: Option<&TrustFile>) -> Report {
    match ExportReader::new(reader) {
        Ok(export) => export.verify(trust),
        Err(error) => error.report(trust),
    }
}

impl ExportError {
    /// The report on an export that cannot be read for this reason.
    pub fn report(&self, trust: Option<&TrustFile>) -> Report {
        let mut report = Report::new(trust);
        report.fail(Check::Format, self.to_string());
        report
    }
}

impl<R: Read> ExportReader<R> {
    /// Verifies what follows the header: as [`verify_export`], for who wants to know first whether it is an export.
    pub fn verify(self, trust: Option<&TrustFile>) -> Report {
        let mut replay = Replay::new(trust);
        let (header, trailer) = match read_all(self, &mut replay) {
            Ok(read) => read,
            Err(error) => return error.report(trust),
        };
        let mut report = Report::new(trust);
        report.pass(Check::Format, FORMAT);
        let ledger = trust.map_or(header.ledger.as_slice(), |trust| trust.ledger.as_slice());
        match trust {
            None => report.unchecked(Check::Trust, "no trust file"),
            Some(_) if ledger == header.ledger => report.pass(Check::Trust, "the ledger is the trust file's"),
            Some(_) => report.fail(
                Check::Trust,
                "the export names another ledger than the trust file",
            ),
        }
        let labels = checks::head(
            &mut report,
            &trailer.certificate,
            &trailer.hash_tree,
            trust,
            ledger,
            None,
        );
        replay.report(&mut report);
        let policy = checks::policy(&mut report, &trailer.policy, labels.as_ref());
        if report.status(Check::Blocks) == Status::Passed
            && policy.is_some_and(|policy| policy != *replay.policy())
        {
            report.fail(
                Check::Policy,
                "the policy document is not what the blocks lead to",
            );
        }
        match &labels {
            Some(labels) => {
                let same = labels.size == replay.size() && labels.root == replay.root();
                let good = "the blocks are the leaves of the certified tree".to_owned();
                report.settle(
                    Check::Root,
                    if same {
                        Ok(good)
                    } else {
                        Err("the blocks are not the certified ones".to_owned())
                    },
                );
                if Some(labels.last_block_hash) != replay.last() {
                    report.fail(Check::HashLinks, "the last block is not the certified one");
                }
            }
            None => report.unchecked(Check::Root, "the labels cannot be read"),
        }
        report.not_applicable(Check::Consistency, "an export has no earlier checkpoint");
        checks::code_and_hints(
            &mut report,
            trailer.code.as_deref(),
            trust,
            ledger,
            Some(replay.policy()),
            None,
        );
        report.not_applicable(Check::Cluster, "an export has no cluster");
        report
    }
}

fn read_all<R: Read>(
    mut export: ExportReader<R>,
    replay: &mut Replay<'_>,
) -> Result<(Header, Trailer), ExportError> {
    while let Some(block) = export.next_block()? {
        replay.add(block);
    }
    let header = export.header().clone();
    Ok((header, export.finish()?))
}
