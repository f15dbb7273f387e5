//! Counts the depth of calls within a canister, so that an endless recursion ends at the same call on every machine.
//!
//! Without this it would end where the native stack does, and how much of that a call takes is known only to whoever generated the code. It
//! still does where functions keep hundreds of computed values across a call, which are neither locals nor operands (common parts of
//! expressions): the stack is large enough for what is counted, and whoever takes more of it than that is stopped by it. Each function that calls others pays for its frame when it is entered and gets it back when it is left, from an account that
//! all have in common:
//!
//! ```wat
//! (global $left (mut i32) (i32.const 524288))
//! (func (result i32)
//!   (global.set $left (i32.sub (global.get $left) (i32.const 20)))
//!   (if (i32.lt_s (global.get $left) (i32.const 0)) (then unreachable))
//!   (block (result i32)
//!     …)                                        ;; what it does; `return` leaves the block
//!   (global.set $left (i32.add (global.get $left) (i32.const 20))))
//! ```
//!
//! The account is full whenever a message begins, as each runs in an instance of its own.

use super::frames::Frame;
use super::inspect::ModuleError;
use std::collections::HashMap;
use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, Encode, GlobalSection, GlobalType, Instruction, TypeSection, ValType,
    reencode::{Reencode, RoundtripReencoder},
};
use wasmparser::{FuncType, FunctionBody, Operator};

/// What the frames of all calls that are open may hold together, in values. A value that is kept takes 8 bytes as a rule, and most live in
/// registers, so half a million is about what fits
/// into the 5 MiB of native stack that mainnet has.
pub const MOST_VALUES: i32 = 1 << 19;
/// Export of the global that says how many values are left; below zero when a call did not fit any more.
pub const LEFT: &str = "dcanary:left";

/// How the functions of a module are made to count.
pub struct Depth<'a> {
    frames: &'a [Frame],
    /// What each function leaves on the stack.
    results: Vec<BlockType>,
    /// Results of functions that have several, which are types of their own behind those of the module.
    added: Vec<FuncType>,
    /// Where these are.
    places: HashMap<Box<[wasmparser::ValType]>, usize>,
    /// Index of the global.
    left: u32,
}

impl<'a> Depth<'a> {
    /// Plans it for a module with these types, functions of these types and so many globals. `None` when no function calls another.
    pub fn plan(frames: &'a [Frame], types: &[FuncType], functions: &[u32], globals: u32) -> Option<Self> {
        if !frames.iter().any(|frame| frame.calls) {
            return None;
        }
        let mut plan = Self {
            frames,
            results: Vec::with_capacity(functions.len()),
            added: Vec::new(),
            places: HashMap::new(),
            left: globals,
        };
        for (frame, kind) in frames.iter().zip(functions) {
            let results = types.get(*kind as usize).map_or(&[][..], |kind| kind.results());
            let block = match results {
                [] => BlockType::Empty,
                [one] => RoundtripReencoder
                    .val_type(*one)
                    .map_or(BlockType::Empty, BlockType::Result),
                // not entered into the types for functions that stay as they are
                _ if !frame.calls => BlockType::Empty,
                many => BlockType::FunctionType(plan.kind(types.len(), many)),
            };
            plan.results.push(block);
        }
        Some(plan)
    }

    /// The index of a type without parameters and with these results.
    fn kind(&mut self, before: usize, results: &[wasmparser::ValType]) -> u32 {
        let added = &mut self.added;
        let place = *self.places.entry(results.into()).or_insert_with(|| {
            added.push(FuncType::new([], results.iter().copied()));
            added.len() - 1
        });
        u32::try_from(before + place).unwrap_or(u32::MAX)
    }

    /// Adds the types that it needs to those of the module.
    pub fn types(&self, section: &mut TypeSection) -> Result<(), ModuleError> {
        for kind in &self.added {
            let kind = RoundtripReencoder.func_type(kind.clone()).map_err(again)?;
            section.ty().func_type(&kind);
        }
        Ok(())
    }

    /// Adds the global to those of the module, and returns its index.
    pub fn global(&self, section: &mut GlobalSection) -> u32 {
        let kind = GlobalType {
            val_type: ValType::I32,
            mutable: true,
            shared: false,
        };
        section.global(kind, &ConstExpr::i32_const(MOST_VALUES));
        self.left
    }

    /// Adds a function, the next one of the module, to the code.
    pub fn function(
        &self,
        wasm: &[u8],
        body: &FunctionBody<'_>,
        section: &mut CodeSection,
    ) -> Result<(), ModuleError> {
        let number = section.len() as usize;
        let bytes = |from: usize, to: usize| wasm.get(from..to).ok_or_else(short);
        let range = body.range();
        let (Some(frame), Some(results)) = (self.frames.get(number), self.results.get(number)) else {
            return Err(short());
        };
        if !frame.calls {
            section.raw(bytes(range.start, range.end)?);
            return Ok(());
        }
        let mut code = Vec::with_capacity(range.len() + 48);
        let mut operators = body.get_operators_reader()?;
        let mut copied = operators.original_position();
        code.extend_from_slice(bytes(range.start, copied)?);
        self.enter(frame.values, &mut code);
        Instruction::Block(*results).encode(&mut code);
        // blocks that are open within the one around all
        let mut open = 0u32;
        while !operators.eof() {
            let at = operators.original_position();
            match operators.read()? {
                Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => open += 1,
                Operator::End => open = open.saturating_sub(1),
                Operator::Return => {
                    code.extend_from_slice(bytes(copied, at)?);
                    Instruction::Br(open).encode(&mut code);
                    copied = operators.original_position();
                }
                Operator::ReturnCall { .. } | Operator::ReturnCallIndirect { .. } => {
                    code.extend_from_slice(bytes(copied, at)?);
                    self.leave(frame.values, &mut code);
                    copied = at;
                }
                _ => {}
            }
        }
        // with the end of the function, which ends the block
        code.extend_from_slice(bytes(copied, range.end)?);
        self.leave(frame.values, &mut code);
        Instruction::End.encode(&mut code);
        section.raw(&code);
        Ok(())
    }

    fn enter(&self, values: u32, code: &mut Vec<u8>) {
        self.change(values, &Instruction::I32Sub, code);
        let refuse = [
            Instruction::GlobalGet(self.left),
            Instruction::I32Const(0),
            Instruction::I32LtS,
            Instruction::If(BlockType::Empty),
            Instruction::Unreachable,
            Instruction::End,
        ];
        for instruction in refuse {
            instruction.encode(code);
        }
    }

    fn leave(&self, values: u32, code: &mut Vec<u8>) {
        self.change(values, &Instruction::I32Add, code);
    }

    fn change(&self, values: u32, how: &Instruction<'_>, code: &mut Vec<u8>) {
        // a function has far fewer than that; one that had more could not be called
        let values = i32::try_from(values).unwrap_or(MOST_VALUES);
        Instruction::GlobalGet(self.left).encode(code);
        Instruction::I32Const(values).encode(code);
        how.encode(code);
        Instruction::GlobalSet(self.left).encode(code);
    }
}

fn short() -> ModuleError {
    ModuleError::Compile("a section ends early".to_owned())
}

/// What was read before and cannot be written again.
pub fn again(error: wasm_encoder::reencode::Error) -> ModuleError {
    ModuleError::Compile(error.to_string())
}
