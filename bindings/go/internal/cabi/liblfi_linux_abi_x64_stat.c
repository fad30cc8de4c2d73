//go:build !lfi_system

#include "liblfi_names.h"

/* SPDX-License-Identifier: MIT */
/* struct stat of Linux on x86-64. Trusted. */
#include <sys/stat.h>

#include <assert.h>
#include <string.h>

#include "abi.h"

static_assert(sizeof(struct AbiStat) == 144, "the kernel's size");

void
abi_stat(struct AbiStat *out, const struct stat *st)
{
	*out = (struct AbiStat){
	    .st_dev = st->st_dev,
	    .st_ino = st->st_ino,
	    .st_nlink = st->st_nlink,
	    .st_mode = st->st_mode,
	    .st_uid = st->st_uid,
	    .st_gid = st->st_gid,
	    .st_rdev = st->st_rdev,
	    .st_size = st->st_size,
	    .st_blksize = st->st_blksize,
	    .st_blocks = st->st_blocks,
	    .st_atime_sec = st->st_atim.tv_sec,
	    .st_atime_nsec = st->st_atim.tv_nsec,
	    .st_mtime_sec = st->st_mtim.tv_sec,
	    .st_mtime_nsec = st->st_mtim.tv_nsec,
	    .st_ctime_sec = st->st_ctim.tv_sec,
	    .st_ctime_nsec = st->st_ctim.tv_nsec,
	};
}
