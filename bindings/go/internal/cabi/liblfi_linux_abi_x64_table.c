//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/*
 * The system calls of Linux on x86-64 that programs may make: number, name,
 * arguments, handler. No row means ENOSYS. Trusted.
 */
#include "sys.h"

/* "LFI" in ASCII. */
enum { NUMBER_LFI_READY = 0x4c4649 };

static const struct SysCall table[] = {
    [0] = {"read", "dpu", sys_read},
    [1] = {"write", "dpu", sys_write},
    [2] = {"open", "sxo", sys_open},
    [3] = {"close", "d", sys_close},
    [4] = {"stat", "sp", sys_stat},
    [5] = {"fstat", "dp", sys_fstat},
    [6] = {"lstat", "sp", sys_lstat},
    [7] = {"poll", "pud", sys_poll},
    [8] = {"lseek", "ddd", sys_lseek},
    [9] = {"mmap", "puxxdx", sys_mmap},
    [10] = {"mprotect", "pux", sys_mprotect},
    [11] = {"munmap", "pu", sys_munmap},
    [12] = {"brk", "p", sys_brk},
    [13] = {"rt_sigaction", "dppu", sys_rt_sigaction},
    [14] = {"rt_sigprocmask", "dppu", sys_rt_sigprocmask},
    [16] = {"ioctl", "dxp", sys_ioctl},
    [17] = {"pread64", "dpuu", sys_pread64},
    [18] = {"pwrite64", "dpuu", sys_pwrite64},
    [19] = {"readv", "dpu", sys_readv},
    [20] = {"writev", "dpu", sys_writev},
    [21] = {"access", "sx", sys_access},
    [22] = {"pipe", "p", sys_pipe},
    [23] = {"select", "dpppp", sys_select},
    [24] = {"sched_yield", "", sys_sched_yield},
    [25] = {"mremap", "puuxp", sys_mremap},
    [28] = {"madvise", "pud", sys_madvise},
    [32] = {"dup", "d", sys_dup},
    [33] = {"dup2", "dd", sys_dup2},
    [35] = {"nanosleep", "pp", sys_nanosleep},
    [39] = {"getpid", "", sys_getpid},
    [56] = {"clone", "xpppp", sys_clone},
    [60] = {"exit", "d", sys_exit},
    [62] = {"kill", "dd", sys_kill},
    [63] = {"uname", "p", sys_uname},
    [72] = {"fcntl", "ddx", sys_fcntl},
    [74] = {"fsync", "d", sys_fsync},
    [75] = {"fdatasync", "d", sys_fdatasync},
    [76] = {"truncate", "su", sys_truncate},
    [77] = {"ftruncate", "du", sys_ftruncate},
    [79] = {"getcwd", "pu", sys_getcwd},
    [80] = {"chdir", "s", sys_chdir},
    [81] = {"fchdir", "d", sys_fchdir},
    [82] = {"rename", "ss", sys_rename},
    [83] = {"mkdir", "so", sys_mkdir},
    [84] = {"rmdir", "s", sys_rmdir},
    [85] = {"creat", "so", sys_creat},
    [86] = {"link", "ss", sys_link},
    [87] = {"unlink", "s", sys_unlink},
    [88] = {"symlink", "ss", sys_symlink},
    [89] = {"readlink", "spu", sys_readlink},
    [90] = {"chmod", "so", sys_chmod},
    [91] = {"fchmod", "do", sys_fchmod},
    [95] = {"umask", "o", sys_umask},
    [96] = {"gettimeofday", "pp", sys_gettimeofday},
    [97] = {"getrlimit", "dp", sys_getrlimit},
    [98] = {"getrusage", "dp", sys_getrusage},
    [99] = {"sysinfo", "p", sys_sysinfo},
    [100] = {"times", "p", sys_times},
    [102] = {"getuid", "", sys_getuid},
    [104] = {"getgid", "", sys_getgid},
    [107] = {"geteuid", "", sys_getuid},
    [108] = {"getegid", "", sys_getgid},
    [110] = {"getppid", "", sys_getppid},
    [131] = {"sigaltstack", "pp", sys_sigaltstack},
    [158] = {"arch_prctl", "xp", sys_arch_prctl},
    [160] = {"setrlimit", "dp", sys_setrlimit},
    [186] = {"gettid", "", sys_gettid},
    [200] = {"tkill", "dd", sys_tkill},
    [201] = {"time", "p", sys_time},
    [202] = {"futex", "pxuppu", sys_futex},
    [204] = {"sched_getaffinity", "dup", sys_sched_getaffinity},
    [217] = {"getdents64", "dpu", sys_getdents64},
    [218] = {"set_tid_address", "p", sys_set_tid_address},
    [228] = {"clock_gettime", "dp", sys_clock_gettime},
    [229] = {"clock_getres", "dp", sys_clock_getres},
    [230] = {"clock_nanosleep", "dxpp", sys_clock_nanosleep},
    [231] = {"exit_group", "d", sys_exit_group},
    [234] = {"tgkill", "ddd", sys_tgkill},
    [257] = {"openat", "dsxo", sys_openat},
    [258] = {"mkdirat", "dso", sys_mkdirat},
    [262] = {"newfstatat", "dspx", sys_newfstatat},
    [263] = {"unlinkat", "dsx", sys_unlinkat},
    [264] = {"renameat", "dsds", sys_renameat},
    [265] = {"linkat", "dsdsx", sys_linkat},
    [266] = {"symlinkat", "sds", sys_symlinkat},
    [267] = {"readlinkat", "dspu", sys_readlinkat},
    [268] = {"fchmodat", "dso", sys_fchmodat},
    [269] = {"faccessat", "dsx", sys_faccessat},
    [270] = {"pselect6", "dppppp", sys_pselect6},
    [271] = {"ppoll", "pupp", sys_ppoll},
    [273] = {"set_robust_list", "pu", sys_set_robust_list},
    [280] = {"utimensat", "dspx", sys_utimensat},
    [292] = {"dup3", "ddx", sys_dup3},
    [293] = {"pipe2", "px", sys_pipe2},
    [295] = {"preadv", "dpuu", sys_preadv},
    [296] = {"pwritev", "dpuu", sys_pwritev},
    [302] = {"prlimit64", "ddpp", sys_prlimit64},
    [316] = {"renameat2", "dsdsx", sys_renameat2},
    [318] = {"getrandom", "pux", sys_getrandom},
    [332] = {"statx", "dsxxp", sys_statx},
    [439] = {"faccessat2", "dsxx", sys_faccessat2},
};

static const struct SysCall ready = {"lfi_ready", "", sys_lfi_ready};

const struct SysCall *
abi_syscall(uint64_t number)
{
	if (number < sizeof table / sizeof table[0] && table[number].handler)
		return &table[number];
	return number == NUMBER_LFI_READY ? &ready : NULL;
}
