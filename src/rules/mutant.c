#include "rules/mutant.h"

#ifdef VEDETTE_MUTANTS
enum mutant mutant_active = MUTANT_NONE;
#endif
