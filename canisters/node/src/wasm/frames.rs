//! Validates a module, and measures what each of its functions takes of the call stack.
//!
//! A frame is measured in values, not in bytes: what a value takes is the business of whoever generates code, and the depth at which an
//! endless recursion ends must be the same on every machine.

use super::inspect::ModuleError;
use wasmparser::{
    FuncValidator, FuncValidatorAllocations, FunctionBody, Operator, OperatorsReader, Parser, ValidPayload,
    Validator, ValidatorResources, WasmFeatures, types::Types,
};

/// Most instructions of one function: what compiling it may cost.
const MAX_INSTRUCTIONS: usize = 1_000_000;
/// Most of what a compiler may have to note of one function: locals, for each of its blocks. Measured at one call of `install_code`:
/// 200 bytes and some microseconds for each.
const MAX_NOTES: u64 = 1_000_000;
/// Most of that of all functions together.
const MAX_ALL_NOTES: u64 = 8_000_000;
/// What a frame has besides its values: where to return to, saved registers, the fuel.
const FIXED: u32 = 12;

/// A function of the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Most values that it holds at once: parameters, locals and operands, and [`FIXED`].
    pub values: u32,
    /// Whether it calls functions of the module, or of its tables. What calls none, or the system alone, is the last one of a stack.
    pub calls: bool,
}

/// Validates a module. Returns its types and its functions, in their order, without the imported ones.
pub fn validate(wasm: &[u8], features: WasmFeatures) -> Result<(Types, Vec<Frame>), ModuleError> {
    let mut validator = Validator::new_with_features(features);
    let mut functions = Vec::new();
    let mut types = None;
    for payload in Parser::new(0).parse_all(wasm) {
        match validator.payload(&payload?)? {
            ValidPayload::Func(function, body) => functions.push((function, body)),
            ValidPayload::End(found) => types = Some(found),
            _ => {}
        }
    }
    let types = types.ok_or_else(|| ModuleError::Compile("the module has no end".to_owned()))?;
    let own = u32::try_from(functions.len()).unwrap_or(u32::MAX);
    let imports = types.as_ref().function_count().saturating_sub(own);
    let mut allocations = FuncValidatorAllocations::default();
    let mut frames = Vec::with_capacity(functions.len());
    let mut noted = 0_u64;
    for (function, body) in functions {
        let mut validator = function.into_validator(allocations);
        let (frame, notes) = frame(&mut validator, &body, imports)?;
        frames.push(frame);
        noted = noted.saturating_add(notes);
        if notes > MAX_NOTES || noted > MAX_ALL_NOTES {
            return Err(ModuleError::Intricate {
                function: validator.index(),
                most: MAX_NOTES,
                most_of_all: MAX_ALL_NOTES,
            });
        }
        allocations = validator.into_allocations();
    }
    Ok((types, frames))
}

fn frame(
    validator: &mut FuncValidator<ValidatorResources>,
    body: &FunctionBody<'_>,
    imports: u32,
) -> Result<(Frame, u64), ModuleError> {
    let mut reader = body.get_binary_reader();
    validator.read_locals(&mut reader)?;
    let mut operators = OperatorsReader::new(reader);
    let (mut instructions, mut highest, mut calls, mut blocks) = (0, 0, false, 1_u64);
    while !operators.eof() {
        let offset = operators.original_position();
        let operator = operators.read()?;
        validator.op(offset, &operator)?;
        highest = highest.max(validator.operand_stack_height());
        calls |= match operator {
            Operator::Call { function_index } | Operator::ReturnCall { function_index } => {
                function_index >= imports
            }
            Operator::CallIndirect { .. } | Operator::ReturnCallIndirect { .. } => true,
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } | Operator::Else => {
                blocks += 1;
                false
            }
            _ => false,
        };
        instructions += 1;
        if instructions > MAX_INSTRUCTIONS {
            return Err(ModuleError::LongFunction {
                function: validator.index(),
                limit: MAX_INSTRUCTIONS,
            });
        }
    }
    operators.finish()?;
    let values = FIXED
        .saturating_add(validator.len_locals())
        .saturating_add(highest);
    let notes = blocks.saturating_mul(u64::from(validator.len_locals()));
    Ok((Frame { values, calls }, notes))
}
