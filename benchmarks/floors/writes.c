/* Random 4 KiB writes. */
#define WRITES
#include "transfers.c"
