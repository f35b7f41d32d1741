"""Networks by name: a small U-Net for work on processors, and those of smp, timm and MONAI."""
