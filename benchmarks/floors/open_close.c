/* Make a ring, map it, unmap it, close it. Cells: its entries. */
#include "floor.h"

static void run(void *what, uint64_t ops)
{
    for (uint64_t i = 0; i < ops; i++) {
        struct ur r;
        int e = ur_open(&r, *(unsigned *)what, BEST, 0);
        if (e) die("io_uring_setup", e);
        ur_close(&r);
    }
}

int main(int argc, char **argv)
{
    arguments(argc, argv);
    for (int i = 0; i < A.cells; i++) {
        unsigned entries = (unsigned)atoi(A.cell[i]);
        measure(A.cell[i], run, &entries, 1, 1u << 20);
    }
    return 0;
}
