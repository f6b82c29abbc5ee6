/* Random 4 KiB reads. */
#include "transfers.c"
