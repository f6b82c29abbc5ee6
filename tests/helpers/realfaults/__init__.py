"""Faults on the real kernel: any system call of a child, at its nth time, with any errno."""
