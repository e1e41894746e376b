fetch("/api/hello")
  .then((response) => response.json())
  .then(({ greeting }) => { document.getElementById("greeting").textContent = greeting; });
