"""For instructors: the students' copy of the chapters, grading of hand-ins, and a class's runs as one table."""
