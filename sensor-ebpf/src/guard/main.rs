//! The guard: programs that drop traffic, in an object of their own, so that containment can be
//! loaded, pinned and renewed without the rest of the sensor, and outlives it. It is told nothing
//! of the kernel it runs on and needs nothing but the stable contexts of its hooks. What is
//! denied, allowed and isolated is written by user space into the maps
//! (`sensor_common::guard`); here it is only looked up.

#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

#[path = "../atomic.rs"]
mod atomic;
mod hooks;
mod judge;
mod lookup;
mod maps;
mod packet;
mod source;
mod verdict;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // Never linked in: a reachable panic fails the verifier, and so the tests.
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
