//! The message: argument, caller, answer, inspection.

use super::access::{contract, copy, define, read, read_text, split};
use super::context::{ANSWERING, CALLBACKS, Contexts as C};
use super::{Answer, Index, SysTrap};
use crate::faults::{Fault, broken};
use crate::state::logs::DEFAULT_LIMIT;
use crate::sysapi::Execution;
use wasmtime::{Error, Linker};

pub fn link<I: Index>(linker: &mut Linker<Execution>) -> wasmtime::Result<()> {
    let argument = C::I
        .or(C::U)
        .or(C::RQ)
        .or(C::NRQ)
        .or(C::TQ)
        .or(C::CQ)
        .or(C::RY)
        .or(C::CRY)
        .or(C::F);
    define!(linker, "msg_arg_data_size", argument, |call| -> I {
        Ok(I::of(call.data().view.arg.len()))
    });
    define!(linker, "msg_arg_data_copy", argument, |call,
                                                    to: I,
                                                    offset: I,
                                                    size: I|
     -> () {
        copy(&mut call, to.get(), offset.get(), size.get(), |execution| {
            Ok(&execution.view.arg)
        })
    });
    define!(linker, "msg_caller_size", C::ANY, |call| -> I {
        Ok(I::of(call.data().view.caller.as_slice().len()))
    });
    define!(linker, "msg_caller_copy", C::ANY, |call,
                                                to: I,
                                                offset: I,
                                                size: I|
     -> () {
        copy(&mut call, to.get(), offset.get(), size.get(), |execution| {
            Ok(execution.view.caller.as_slice())
        })
    });
    link_caller_info::<I>(linker)?;
    let rejected = C::RT.or(C::CRT);
    define!(linker, "msg_reject_code", CALLBACKS.or(C::C), |call| -> i32 {
        let reject = &call.data().view.message.reject;
        Ok(reject.as_ref().map_or(0, |(code, _)| *code))
    });
    define!(linker, "msg_reject_msg_size", rejected, |call| -> I {
        Ok(I::of(reject_message(call.data()).len()))
    });
    define!(linker, "msg_reject_msg_copy", rejected, |call,
                                                      to: I,
                                                      offset: I,
                                                      size: I|
     -> () {
        copy(&mut call, to.get(), offset.get(), size.get(), |execution| {
            Ok(reject_message(execution))
        })
    });
    let deadline = C::U.or(C::RQ).or(C::NRQ).or(C::CQ).or(CALLBACKS);
    define!(linker, "msg_deadline", deadline, |call| -> u64 {
        let deadline = call.data().view.message.deadline;
        if broken(Fault::WrongDeadline) {
            return Ok(u64::from(deadline == 0));
        }
        Ok(deadline)
    });
    link_answer::<I>(linker)?;
    link_inspect::<I>(linker)?;
    define!(linker, "debug_print", C::ALWAYS, |call, from: I, size: I| -> () {
        // Must never trap, so what is out of bounds is left out.
        let most = call.data().budget.logs.max(DEFAULT_LIMIT) as u64;
        if let Ok(text) = read(&mut call, from.get(), size.get().min(most)) {
            call.data_mut().print(&text);
            let text = String::from_utf8_lossy(&text);
            tracing::debug!(canister = %call.data().view.canister, "{text}");
        }
        Ok(())
    });
    define!(linker, "trap", C::ALWAYS, |call, from: I, size: I| -> () {
        let text = read(&mut call, from.get(), size.get().min(8 * 1024))?;
        Err(Error::new(SysTrap::Explicit(
            String::from_utf8_lossy(&text).into_owned(),
        )))
    });
    Ok(())
}

fn reject_message(execution: &Execution) -> &[u8] {
    let reject = &execution.view.message.reject;
    reject.as_ref().map_or(&[], |(_, message)| message.as_bytes())
}

/// `sender_info` is not accepted in requests, so there is never any.
fn link_caller_info<I: Index>(linker: &mut Linker<Execution>) -> wasmtime::Result<()> {
    let info = C::U
        .or(C::RQ)
        .or(C::NRQ)
        .or(C::CQ)
        .or(CALLBACKS)
        .or(C::C)
        .or(C::CC)
        .or(C::F);
    define!(linker, "msg_caller_info_data_size", info, |_call| -> I {
        Ok(I::of(0))
    });
    define!(linker, "msg_caller_info_data_copy", info, |call,
                                                        to: I,
                                                        offset: I,
                                                        size: I|
     -> () {
        copy(&mut call, to.get(), offset.get(), size.get(), |_| Ok(&[]))
    });
    define!(linker, "msg_caller_info_signer_size", info, |_call| -> I {
        Ok(I::of(0))
    });
    define!(linker, "msg_caller_info_signer_copy", info, |call,
                                                          to: I,
                                                          offset: I,
                                                          size: I|
     -> () {
        copy(&mut call, to.get(), offset.get(), size.get(), |_| Ok(&[]))
    });
    Ok(())
}

fn link_answer<I: Index>(linker: &mut Linker<Execution>) -> wasmtime::Result<()> {
    define!(linker, "msg_reply_data_append", ANSWERING, |call,
                                                         from: I,
                                                         size: I|
     -> () {
        unanswered(call.data())?;
        let (present, most) = (call.data().pending.len() as u64, call.data().budget.reply);
        if present.saturating_add(size.get()) > most as u64 && !broken(Fault::UnlimitedReplies) {
            return Err(contract(format!("the reply is larger than {most} bytes")));
        }
        let data = read(&mut call, from.get(), size.get())?;
        let execution = call.data_mut();
        if broken(Fault::AppendReplaces) {
            execution.pending.clear();
        }
        execution.pending.extend_from_slice(&data);
        Ok(())
    });
    define!(linker, "msg_reply", ANSWERING, |call| -> () {
        let execution = call.data_mut();
        unanswered(execution)?;
        let reply = std::mem::take(&mut execution.pending);
        if reply.is_empty() && broken(Fault::EmptyReplyLost) {
            return Ok(());
        }
        execution.give(Answer::Reply(reply));
        Ok(())
    });
    define!(linker, "msg_reject", ANSWERING, |call, from: I, size: I| -> () {
        unanswered(call.data())?;
        if size.get() > call.data().budget.reply as u64 {
            return Err(contract(format!(
                "the reject message is larger than {} bytes",
                call.data().budget.reply
            )));
        }
        let text = read_text(&mut call, from.get(), size.get())?;
        let execution = call.data_mut();
        execution.pending.clear();
        execution.give(Answer::Reject(text));
        Ok(())
    });
    Ok(())
}

fn unanswered(execution: &Execution) -> wasmtime::Result<()> {
    let answered = execution.answer.is_some() || execution.view.message.answered;
    if answered && !broken(Fault::ReplyTwice) {
        return Err(contract("the call is already replied"));
    }
    Ok(())
}

fn link_inspect<I: Index>(linker: &mut Linker<Execution>) -> wasmtime::Result<()> {
    define!(linker, "msg_method_name_size", C::F, |call| -> I {
        Ok(I::of(call.data().view.method.len()))
    });
    define!(linker, "msg_method_name_copy", C::F, |call,
                                                   to: I,
                                                   offset: I,
                                                   size: I|
     -> () {
        copy(&mut call, to.get(), offset.get(), size.get(), |execution| {
            Ok(execution.view.method.as_bytes())
        })
    });
    define!(linker, "accept_message", C::F, |call| -> () {
        let (_, execution) = split(&mut call);
        if std::mem::replace(&mut execution.accepted, true) {
            return Err(contract("the message is already accepted"));
        }
        Ok(())
    });
    Ok(())
}
