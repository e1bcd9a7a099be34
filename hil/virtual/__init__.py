"""A virtual robot: a Debian image, QEMU without KVM, a TPM in software, a disk that loses what was not flushed."""
