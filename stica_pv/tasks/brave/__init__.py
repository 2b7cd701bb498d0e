"""BraVe (ICCV 2021): a narrow view regresses a broad one."""
