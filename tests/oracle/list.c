/* SPDX-License-Identifier: MIT */
/* The oracles that this machine has. */
#include "oracle.h"

const struct oracle oracles[] = {
    {"zydis", zydis_differs, false},
#ifdef ORACLE_BINUTILS
    {"binutils", binutils_differs, true},
#endif
#ifdef ORACLE_LLVM
    {"llvm", llvm_differs, true},
#endif
};
const unsigned oracle_count = sizeof oracles / sizeof oracles[0];
