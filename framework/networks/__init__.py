"""Networks by name: a small U-Net for work on processors, and every encoder and decoder of smp and timm."""
