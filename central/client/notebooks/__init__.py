"""What programs and notebooks show: tables of jobs, and progress bars."""
