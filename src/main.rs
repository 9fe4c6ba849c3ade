//! The `longhaul` program: see `longhaul --help`, and `cli` for what each command does.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_arena_eager_commit` and `mi_option_purge_delay` of mimalloc's header; the crate gives
/// these two no names. Memory is taken as it is needed and given back at once: a worker that is idle
/// is small, and 500 executions at a time fit into 100 MB.
const FRUGAL: [(std::ffi::c_int, std::ffi::c_long); 2] = [(4, 0), (15, 0)];

fn main() -> std::process::ExitCode {
    for (option, value) in FRUGAL {
        // SAFETY: setting an option has no preconditions; it is read by later allocations only.
        unsafe { libmimalloc_sys::mi_option_set(option, value) };
    }
    longhaul::cli::main()
}
