"""Units of the house: eV, Angstrom, fs, amu, K; the only conversion table."""

KB_EV_PER_K = 8.617333262e-5  # Boltzmann constant
HBAR_EV_FS = 0.6582119569  # reduced Planck constant
AMU_EV_FS2_PER_A2 = 103.642697  # 1 amu in eV fs^2/A^2; masses times this need no further factor
WAVENUMBER_RAD_PER_FS = 1.883651567e-4  # 1 cm^-1 as an angular frequency
COULOMB_EV_A = 14.39964547  # e^2 / (4 pi epsilon_0)
GPA_PER_EV_A3 = 160.2176634  # 1 eV/A^3 in GPa
G_PER_CM3_PER_AMU_A3 = 1.66053906660  # 1 amu/A^3 in g/cm^3
