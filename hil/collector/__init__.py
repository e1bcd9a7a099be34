"""An HTTPS collector that speaks the ACTO API, judged by actobotics' own code, with faults on demand."""
