//! Functions that steps use, in the text format.
//!
//! Memory: variables from 1,024, constants from 8,192, and from 131,072 what an execution fetches, which the next
//! execution overwrites.

/// Where executions put what they fetch.
pub const FETCHED: u32 = 131_072;

/// A function by its name, without `$`.
pub fn function(name: &str) -> Option<String> {
    if let Some(blob) = name.strip_prefix("get_") {
        return Some(format!(
            "(func $get_{blob} (result i32 i32) (local $n i32) (local $at i32)
               (local.set $n (call ${blob}_size))
               (local.set $at (call $alloc (local.get $n)))
               (call ${blob}_copy (local.get $at) (i32.const 0) (local.get $n))
               (local.get $at) (local.get $n))\n"
        ));
    }
    if let Some(import) = name.strip_prefix("low_") {
        return Some(format!(
            "(func $low_{import} (result i64) (local $at i32)
               (local.set $at (call $alloc (i32.const 16)))
               (call ${import} (local.get $at))
               (i64.load (local.get $at)))\n"
        ));
    }
    let text = match name {
        "alloc" => {
            "(func $alloc (param $n i32) (result i32) (local $at i32)
               (local.set $at (global.get $free))
               (global.set $free (i32.and (i32.const -8) (i32.add (i32.const 15) (i32.add (local.get $at) (local.get $n)))))
               (if (i32.gt_u (global.get $free) (i32.mul (memory.size) (i32.const 65536)))
                 (then (drop (memory.grow (i32.add (i32.const 1) (i32.div_u
                   (i32.sub (global.get $free) (i32.mul (memory.size) (i32.const 65536)))
                   (i32.const 65536)))))))
               (local.get $at))"
        }
        "long" => {
            "(func $long (param $n i32) (result i32 i32)
               (call $alloc (local.get $n)) (local.get $n))"
        }
        "number" => {
            "(func $number (param $value i64) (result i32 i32) (local $at i32)
               (local.set $at (call $alloc (i32.const 8)))
               (i64.store (local.get $at) (local.get $value))
               (local.get $at) (i32.const 8))"
        }
        "arg_number" => {
            "(func $arg_number (result i64) (local $at i32)
               (local.set $at (call $alloc (i32.const 8)))
               (call $msg_arg_data_copy (local.get $at) (i32.const 0) (i32.const 8))
               (i64.load (local.get $at)))"
        }
        "accept_cycles" => {
            "(func $accept_cycles (param $most i64) (result i64) (local $at i32)
               (local.set $at (call $alloc (i32.const 16)))
               (call $msg_cycles_accept128 (i64.const 0) (local.get $most) (local.get $at))
               (i64.load (local.get $at)))"
        }
        "burn_cycles" => {
            "(func $burn_cycles (param $most i64) (result i64) (local $at i32)
               (local.set $at (call $alloc (i32.const 16)))
               (call $cycles_burn128 (i64.const 0) (local.get $most) (local.get $at))
               (i64.load (local.get $at)))"
        }
        "stable_get" => {
            "(func $stable_get (param $from i64) (result i64) (local $at i32)
               (local.set $at (call $alloc (i32.const 8)))
               (call $stable64_read (i64.extend_i32_u (local.get $at)) (local.get $from) (i64.const 8))
               (i64.load (local.get $at)))"
        }
        "stable_set" => {
            "(func $stable_set (param $to i64) (param $value i64) (local $at i32)
               (local.set $at (call $alloc (i32.const 8)))
               (i64.store (local.get $at) (local.get $value))
               (if (i64.eqz (call $stable64_size)) (then (drop (call $stable64_grow (i64.const 1)))))
               (call $stable64_write (local.get $to) (i64.extend_i32_u (local.get $at)) (i64.const 8)))"
        }
        "env_value" => {
            "(func $env_value (param $name i32) (param $len i32) (result i32 i32) (local $n i32) (local $at i32)
               (local.set $n (call $env_var_value_size (local.get $name) (local.get $len)))
               (local.set $at (call $alloc (local.get $n)))
               (call $env_var_value_copy (local.get $name) (local.get $len) (local.get $at) (i32.const 0) (local.get $n))
               (local.get $at) (local.get $n))"
        }
        "spin" => {
            "(func $spin (param $rounds i64)
               (loop $again
                 (local.set $rounds (i64.sub (local.get $rounds) (i64.const 1)))
                 (br_if $again (i64.gt_s (local.get $rounds) (i64.const 0)))))"
        }
        _ => return None,
    };
    Some(format!("{text}\n"))
}
