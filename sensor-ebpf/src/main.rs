//! The programs that run in the kernel. One file per family of events, over two shared rooms:
//! `kernel` reads tasks, files and sockets, `emit` counts and hands over. A program only
//! decides what to report; nothing here interprets, and no string is parsed here.

#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod atomic;
mod dns;
mod emit;
mod file;
mod filter;
mod kernel;
mod network;
mod prevent;
mod privilege;
mod process;
mod syscall;
mod system;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // Never linked in: a reachable panic fails the verifier, and so the tests.
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
