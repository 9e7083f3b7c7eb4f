//! A disk that fails for a while: nothing is made that was said not to be, and all goes on without a restart.
